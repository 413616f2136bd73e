"""Which part each row belongs to.

Rows that ask nearly the same share a part, so that no test question was trained on. Parts depend
on the rows alone: neither their order nor a seed changes them.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from galen import digest
from trainer.data.example import Example
from trainer.data.split.groups import Groups
from trainer.data.tag import asked

Part = Literal["train", "dev", "test", "red_team"]
PARTS: tuple[Part, ...] = ("train", "dev", "test")
SHARES = (0.8, 0.1, 0.1)


def assign(examples: Iterable[Example], shares: Sequence[float] = SHARES) -> list[Part]:
    """The part of each row: `shares` of train, dev and test within each risk level and source.

    A row with `meta.safety_concern` is of the red team, and so is every near-duplicate of it. The
    shares are met to within one group of near-duplicates in all, and two in a stratum. Memory: 300
    bytes a row; the rows themselves are not kept.
    """
    groups = Groups()
    digests, strata, is_red = array("Q"), array("L"), bytearray()
    numbers: dict[tuple[str, str], int] = {}
    for example in examples:
        groups.add(asked(example) or str(example.text or ""))
        digests.append(content_key(example))
        stratum = (str(example.meta.get("risk_level")), str(example.meta.get("source")))
        strata.append(numbers.setdefault(stratum, len(numbers)))
        is_red.append(bool(example.meta.get("safety_concern")))
    names = sorted(numbers)
    rank = np.array([names.index(name) for name in numbers], np.uint64)
    return _dealt(
        groups.labels(),
        np.frombuffer(digests, np.uint64),
        rank[np.asarray(strata, np.int64)] if len(strata) else np.array([], np.uint64),
        np.frombuffer(is_red, np.bool_),
        shares,
    )


def content_key(example: Example) -> int:
    """64 bits of the hash of what the row says."""
    said = [[each.role, each.content] for each in example.messages]
    rest = [example.text, example.chosen, example.rejected, example.completion, example.liked]
    return int(digest.of_json([said, rest])[:16], 16)


def _dealt(
    labels: NDArray[np.int64],
    digests: NDArray[np.uint64],
    strata: NDArray[np.uint64],
    is_red: NDArray[np.bool_],
    shares: Sequence[float],
) -> list[Part]:
    """Groups in the order of stratum and content, each to the part that lacks most rows."""
    order = np.lexsort((strata, digests, labels))  # equal rows may differ in source
    starts = np.flatnonzero(np.diff(labels[order], prepend=-1))
    firsts, sizes = order[starts], np.diff(np.append(starts, len(order)))
    red = np.maximum.reduceat(is_red[order], starts) if len(order) else is_red
    of_group: list[Part] = ["red_team"] * len(starts)
    lacking = np.zeros(len(shares))
    for group in np.lexsort((digests[firsts], strata[firsts])):
        if red[group]:
            continue
        lacking += np.asarray(shares) * sizes[group]
        part = int(np.argmax(lacking))
        lacking[part] -= sizes[group]
        of_group[group] = PARTS[part]
    parts: list[Part] = ["train"] * len(order)
    for group, start in enumerate(starts):
        for row in order[start : start + sizes[group]]:
            parts[row] = of_group[group]
    return parts
