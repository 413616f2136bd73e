"""Judgements that this process has given before.

A judgement is a pure function of the rubric, the texts and a stored verdict, and a stored verdict
never changes; so one that is remembered cannot be stale, and a hit needs neither a thread nor the
database. What is kept is bounded; what was least lately asked for goes first.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Iterable

from judge.assessor import Judged
from judge.rubric import Rubric
from judge.schemas import ScoreItem, ScoreRequest

SIZE = 20_000
"""Judgements kept: some 60 MB."""


class Memory:
    """The latest judgements, by what was judged and how. For one event loop's use."""

    def __init__(self, size: int = SIZE) -> None:
        self._size = size
        self._kept: OrderedDict[bytes, Judged] = OrderedDict()

    def recall(self, rubric: Rubric, request: ScoreRequest) -> list[Judged | None]:
        """For each item its judgement as a hit costs and is labelled, or None."""
        way = _way(rubric, request)
        return [self._recall(_digest(way, item), item.id) for item in request.items]

    def keep(self, rubric: Rubric, request: ScoreRequest, judged: Iterable[Judged]) -> None:
        """Remember what was judged whole; a failure or a fall-back is asked for anew."""
        way = _way(rubric, request)
        for item, one in zip(request.items, judged, strict=True):
            if one.result.status != "failed" and one.result.error is None:
                self._kept[_digest(way, item)] = _as_hit(one)
        while len(self._kept) > self._size:
            self._kept.popitem(last=False)

    def _recall(self, digest: bytes, item_id: str) -> Judged | None:
        kept = self._kept.get(digest)
        if kept is None:
            return None
        self._kept.move_to_end(digest)
        return Judged(kept.result.model_copy(update={"id": item_id}), kept.verdict_key)


def _as_hit(judged: Judged) -> Judged:
    cached = judged.result.teacher is not None
    result = judged.result.model_copy(update={"cached": cached, "cost": 0.0})
    return Judged(result, judged.verdict_key)


def _way(rubric: Rubric, request: ScoreRequest) -> str:
    """How a request is judged, apart from its texts. Whether a teacher is required or optional
    makes no difference to a judgement that came about."""
    return f"{rubric.sha256}:{request.teacher == 'off'}:{request.sample}"


def _digest(way: str, item: ScoreItem) -> bytes:
    """Of what is judged: no text holds a NUL, and no reference is judged like an empty one."""
    texts = "\0".join((way, item.prompt, item.response, item.reference or ""))
    return hashlib.blake2b(texts.encode(), digest_size=32).digest()
