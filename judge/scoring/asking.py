"""Questions to the teacher through the ledger: bounded by its queue's room, counted once."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Collection, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from galen.errors import Overloaded
from judge.ledger.group_commit import RETRY_AFTER_S
from judge.ledger.ledger import Ledger
from judge.rubrics.rubric import Rubric
from judge.scoring.metrics import JudgeMetrics
from judge.scoring.results import Outcome
from judge.teacher.question import Question, key_of
from judge.teacher.verdict import Client, Teacher, TeacherError, Verdict
from judge.text.case import Case


class Asking:
    def __init__(self, teacher: Teacher, ledger: Ledger, metrics: JudgeMetrics) -> None:
        self._teacher = teacher
        self._ledger = ledger
        self._metrics = metrics
        self._expected: set[str] = set()
        """Keys that have room in the teacher's queue but are not in it yet."""

    def key_of(self, rubric: Rubric, case: Case, sample: int) -> str:
        return key_of(self._teacher, rubric, case, sample)

    async def known(self, keys: Iterable[str]) -> dict[str, Outcome]:
        """What the ledger has of `keys`, as it costs nothing."""
        found = await self._ledger.find(sorted(keys))
        return {key: self._outcome(verdict, cached=True) for key, verdict in found.items()}

    def ask(
        self, rubric: Rubric, key: str, case: Case, client: Client, sample: int
    ) -> asyncio.Task[Outcome]:
        """Begin to ask; a failure is in the outcome. Raises `Unavailable`."""
        shared = self._ledger.is_flying(key)
        flight = self._ledger.obtain(Question(key, rubric, case, self._teacher, client, sample))
        return asyncio.create_task(self._finish(shared, flight))

    @contextmanager
    def room_for(self, keys: Collection[str]) -> Iterator[set[str]]:
        """Reserve room in the teacher's queue for `keys`; yields those that it was reserved for.

        `begun` frees a key's room. Keys that are being asked already need none. Raises `Overloaded`
        if there is not room for all.
        """
        new = {key for key in keys if key not in self._expected and not self._ledger.is_flying(key)}
        room = max(0, self._teacher.room - self._ledger.queued - len(self._expected))
        if len(new) > room:
            raise Overloaded(
                f"{len(new)} answers need the teacher and the queue has room for {room}; "
                "send the request again later, or fewer items at once",
                retry_after_s=RETRY_AFTER_S,
            )
        self._expected |= new
        try:
            yield new
        finally:
            self._expected -= new

    def begun(self, reserved: set[str], keys: Collection[str]) -> None:
        """Free the room of `keys`, which are in the queue now or need not be."""
        done = reserved.intersection(keys)
        reserved -= done
        self._expected -= done

    def count_look_ups(self, keys: Collection[str], known: Collection[str]) -> None:
        self._metrics.look_up(len(keys), len(set(keys) & set(known)))

    async def _finish(self, shared: bool, flight: Awaitable[tuple[Verdict, bool]]) -> Outcome:
        try:
            verdict, ours = await flight
        except TeacherError as failure:
            if shared:  # the request that asked first has paid for it and counted it
                return Outcome(self._teacher.provider, failure=failure)
            self._metrics.asked(failure)
            return Outcome(self._teacher.provider, failure=failure, spent=failure.spent)
        if not ours:
            return self._outcome(verdict, cached=True)
        self._metrics.asked(verdict)
        return Outcome(self._teacher.provider, verdict, spent=verdict.spent)

    def _outcome(self, verdict: Verdict, *, cached: bool) -> Outcome:
        return Outcome(self._teacher.provider, verdict, cached=cached)


async def stop_waiting(tasks: Iterable[asyncio.Task[Any]]) -> None:
    """Cancel the waiting, not the teacher's calls: other requests may wait for those too."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
