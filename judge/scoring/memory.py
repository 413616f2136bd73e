"""A bounded LRU cache of judgements that this process has given.

A judgement is a pure function of the rubric, the texts and a stored verdict, and a stored verdict
never changes. So a cached judgement cannot be stale, and a hit needs no thread and no database.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Iterable

from judge.rubrics.rubric import Rubric
from judge.schemas import ScoreItem, ScoreRequest
from judge.scoring.assessor import Judged

SIZE = 20_000
"""Judgements kept: about 60 MB."""


class Memory:
    """The latest judgements, keyed by a digest of texts and rubric. For a single event loop."""

    def __init__(self, size: int = SIZE) -> None:
        self._size = size
        self._kept: OrderedDict[bytes, Judged] = OrderedDict()

    def recall(self, rubric: Rubric, request: ScoreRequest) -> list[Judged | None]:
        """For each item its judgement, marked as cached and free of cost, or None."""
        context = _context(rubric, request)
        return [self._recall(_digest(context, item), item.id) for item in request.items]

    def keep(self, rubric: Rubric, request: ScoreRequest, judged: Iterable[Judged]) -> None:
        """Keep complete judgements; a failure or a fall-back to the rules is tried again."""
        context = _context(rubric, request)
        for item, one in zip(request.items, judged, strict=True):
            if one.result.status != "failed" and one.result.error is None:
                self._kept[_digest(context, item)] = _as_hit(one)
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


def _context(rubric: Rubric, request: ScoreRequest) -> str:
    """Everything but the texts that a judgement depends on. `required` and `optional` are alike:
    they differ only where the teacher failed."""
    return f"{rubric.sha256}:{request.teacher == 'off'}:{request.sample}"


def _digest(context: str, item: ScoreItem) -> bytes:
    """No text holds a NUL, so it can separate them. No reference is the same as an empty one."""
    parts = [context, item.question, item.response, item.reference or ""]
    earlier = item.earlier if item.messages else ()
    if earlier or item.criteria:
        graded = (part for one in item.criteria or () for part in (one.text, str(one.points)))
        parts += [*(part for turn in earlier for part in turn), "", *graded]
    texts = "\0".join(parts)
    return hashlib.blake2b(texts.encode(), digest_size=32).digest()
