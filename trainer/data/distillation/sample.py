"""A smaller set with the question types of the large one, or with as many of each as there are.

Which rows are taken depends on their text and the seed alone, not on their order in the file.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from galen.errors import DataError
from trainer.data.distillation import question_type
from trainer.data.distillation.question_type import TYPES, Typed
from trainer.data.output import writing
from trainer.data.problems import Problem
from trainer.data.reader import DataFile

TYPE, REASON = "type", "type_reason"


@dataclass(frozen=True, slots=True)
class Sample:
    found: Mapping[str, int]
    """Rows of the file by type."""
    taken: Mapping[str, int]


def quotas(found: Mapping[str, int], total: int, *, even: bool = False) -> dict[str, int]:
    """How many rows of each type make `total`: by their share, or `even`, as many of each.

    A type with too few rows gives all that it has. Remainders go to the largest fractions.
    """
    left, quota = min(total, sum(found.values())), dict.fromkeys(found, 0)
    if not even:
        return _by_share(found, left)
    while left:
        open_types = [name for name in found if quota[name] < found[name]]
        each = max(left // len(open_types), 1)
        for name in open_types:
            take = min(each, found[name] - quota[name], left)
            quota[name] += take
            left -= take
    return quota


def _by_share(found: Mapping[str, int], total: int) -> dict[str, int]:
    whole = sum(found.values())
    quota = {name: total * count // whole for name, count in found.items()}
    by_rest = sorted(found, key=lambda name: (-(total * found[name] % whole), name))
    for name in by_rest[: total - sum(quota.values())]:
        quota[name] += 1
    return quota


def write_sample(
    source: Path, out: Path, total: int | None, *, even: bool = False, seed: int = 0
) -> Sample:
    """Write at most `total` rows of `source`, else all, with their type and its reason.

    Raises `DataError`, which names every row without a question. A row's own `type` stays.
    """
    ranks: dict[str, list[tuple[int, int]]] = {}
    for index, (_, question, typed) in enumerate(_typed(source)):
        ranks.setdefault(typed.type, []).append((_rank(question, seed), index))
    found = {name: len(ranks[name]) for name in sorted(ranks, key=_order)}
    quota = quotas(found, sum(found.values()) if total is None else total, even=even)
    chosen = {index for name, each in ranks.items() for _, index in sorted(each)[: quota[name]]}
    with writing(out) as write:
        for index, (row, _, typed) in enumerate(_typed(source)):
            if index in chosen:
                write(row | {TYPE: typed.type, REASON: typed.reason})
    return Sample(found, quota)


def _order(name: str) -> tuple[int, str]:
    known: tuple[str, ...] = TYPES
    return (known.index(name) if name in known else len(known), name)


def _typed(source: Path) -> Iterator[tuple[dict[str, Any], str, Typed]]:
    """Each row with its question and type. Raises `DataError` at the end if any row was bad."""
    problems: list[str] = []
    for _, row, example in DataFile(source).entries("prompt"):
        if isinstance(example, Problem):
            problems.append(str(example))
        elif isinstance(given := row.get(TYPE), str) and given:
            yield row, example.question, Typed(given, row.get(REASON) or "given by the row")
        else:
            yield row, example.question, question_type.of(example.question)
    if problems:
        raise DataError(source, problems)


def _rank(question: str, seed: int) -> int:
    digest = hashlib.blake2b(f"{seed}\n{question}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big")
