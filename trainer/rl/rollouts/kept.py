"""Samples kept on disk as they come: after a kill none is drawn or judged a second time."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from galen.journal import Journal
from judge.schemas import ScoreResult
from server.schemas import TokenCompletion

Verdict = tuple[ScoreResult, Mapping[str, float | None], tuple[float, ...] | None]
"""The result, each source's reward, and a teacher's grade of each token."""


class KeptSamples:
    """The samples of one batch, in a file that grows by a line for each completion and verdict.

    A completion is kept before it is judged: the same text is judged after a kill, so the judge's
    ledger has the answer. The file survives a kill at any moment, and a power cut once `finish` has
    returned.
    """

    def __init__(self, path: Path, title: str, size: int) -> None:
        """Raises `Conflict` if another process has the file open."""
        self._size = size
        self._journal = Journal(path, title, 2 * size + 1)
        self._is_resumed = bool(self._journal.good + self._journal.failed)
        self.own: dict[str, int] = {}
        """Versions of this run that were asked, and how many batches each had learnt from."""
        self.anew = 0
        """Samples drawn after a kill: they may have been under way once before."""
        self.last_drawn: float | None = None
        """When the last completion came, by the monotonic clock."""
        drawn = [entry for i in range(size) if (entry := self._read(2 * i))]
        for entry in drawn:
            self.own[entry["asked"]] = entry["learnt"]
            self.anew += entry["anew"]
        self.known = len(drawn)
        """Completions that were there when the file was opened."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._journal.close()

    @property
    def is_whole(self) -> bool:
        """Whether every sample of the batch is here."""
        return self._journal.has(2 * self._size)

    def completion(self, index: int) -> TokenCompletion | None:
        entry = self._read(2 * index)
        return TokenCompletion.model_validate(entry["completion"]) if entry else None

    def put_completion(
        self, index: int, completion: TokenCompletion, asked: str, learnt: int
    ) -> None:
        self.last_drawn = time.monotonic()
        self.own[asked] = learnt
        self.anew += self._is_resumed
        self._journal.put(
            2 * index,
            True,
            {
                "asked": asked,
                "learnt": learnt,
                "anew": self._is_resumed,
                "completion": completion.model_dump(mode="json"),
            },
        )

    def verdict(self, index: int) -> Verdict | None:
        entry = self._read(2 * index + 1)
        if entry is None:
            return None
        grades = entry["teacher"]
        result = ScoreResult.model_validate(entry["result"])
        return result, entry["parts"], None if grades is None else tuple(grades)

    def put_verdict(self, index: int, verdict: Verdict) -> None:
        """Keep a verdict; of a sample that is judged again the last one counts."""
        result, parts, teacher = verdict
        entry = {"result": result.model_dump(mode="json"), "parts": dict(parts), "teacher": teacher}
        self._journal.put(2 * index + 1, result.reward is not None, entry)

    def finish(self) -> None:
        """Note that the batch is whole; returns once the disk has it."""
        self._journal.put(2 * self._size, True, {})
        self._journal.sync()

    def _read(self, index: int) -> dict[str, Any] | None:
        if not self._journal.has(index):
            return None
        found: dict[str, Any] = json.loads(self._journal.read(index))
        return found
