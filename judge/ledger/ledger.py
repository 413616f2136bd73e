"""The ledger: stored verdicts are looked up, open questions are shared, and every new verdict is on
disk before anyone receives it.

Each open question has a flight in this process, which its callers share, and a lease in the
database, which keeps other judges from asking the same (`single flight`).
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
import uuid
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from typing import Any

from sqlalchemy import Connection

from galen.errors import Unavailable
from judge.ledger import judgement_rows, leases, verdict_rows
from judge.ledger.group_commit import RETRY_AFTER_S, Store
from judge.schemas import ScoreRequest, ScoreResponse
from judge.teacher.panel import Panel
from judge.teacher.question import Question, key_of
from judge.teacher.verdict import RejectedReply, Spent, Teacher, TeacherError, Verdict

log = logging.getLogger(__name__)


class _Held(Enum):
    """Who may ask about a key."""

    BY_US = "won"
    BY_ANOTHER = "taken"
    BY_NOBODY = "free"


@dataclass(frozen=True, slots=True)
class _Answer:
    """A teacher's replies as rows for the database."""

    key: str
    verdict: dict[str, Any] | None
    rejected: list[dict[str, Any]]


_FIRST_POLL_S, _LONGEST_POLL_S, _BACK_OFF = 0.02, 0.5, 1.6
"""Seconds between looks for another judge's verdict: the first, the longest, the factor."""
_RENEWALS = 3
"""Renewals within one lease's duration."""


class Ledger:
    """One judge's stored verdicts and open questions."""

    def __init__(self, store: Store, lease_s: float = 10.0) -> None:
        self._store = store
        self._owner = uuid.uuid4().hex
        self._lease_s = lease_s
        self._flights: dict[str, asyncio.Task[tuple[Verdict, bool]]] = {}
        self._asking: set[str] = set()
        self._unsaved: dict[str, tuple[Verdict, _Answer]] = {}
        """Verdicts that were paid for while the database failed; stored at the next occasion."""
        self._renewal: asyncio.Task[None] | None = None
        self._closed_at: float | None = None
        self.lease_waits = 0
        """How often another judge held the lease."""

    @property
    def queued(self) -> int:
        """Flights that may still reach the teacher but have not yet."""
        return len(self._flights) - len(self._asking)

    def is_flying(self, key: str) -> bool:
        """Whether this process is asking already, so that another caller costs nothing."""
        return key in self._flights

    async def find(self, keys: Sequence[str]) -> dict[str, Verdict]:
        """The stored verdicts among `keys`."""
        if not keys:
            return {}
        return await self._store.reads.put(_find, keys)

    def obtain(self, question: Question) -> Awaitable[tuple[Verdict, bool]]:
        """The verdict, and whether this caller pays for it; concurrent callers share one call.

        The call starts now and goes on if a caller is cancelled. Raises `Unavailable` if the judge
        is stopping. Awaiting raises what the teacher raises, and `Unavailable` if the database
        fails.
        """
        if self._closed_at is not None:
            raise Unavailable("the judge is stopping", retry_after_s=RETRY_AFTER_S)
        flight = self._flights.get(question.key)
        if flight is not None:
            return _join(flight)
        flight = asyncio.create_task(self._fly(question))
        self._flights[question.key] = flight
        flight.add_done_callback(lambda landed: self._land(question.key, landed))
        return asyncio.shield(flight)

    async def record(
        self, request: ScoreRequest, response: ScoreResponse, keys: Sequence[str | None]
    ) -> None:
        """Append a run's results to the audit; `keys` are the items' verdict keys, in order."""
        await self._store.write(lambda c: judgement_rows.keep(c, request, response, keys))

    async def check(self) -> None:
        """Raises `Unavailable` if the database cannot be read and written."""
        await self._store.check()

    def stop_asking(self) -> None:
        """Start no new flight; stored verdicts are still found."""
        if self._closed_at is None:
            self._closed_at = time.monotonic()

    async def aclose(self, drain_s: float = 0.0) -> None:
        """Let open flights end within `drain_s` seconds of `stop_asking`, cancel the rest, then
        close the store."""
        self.stop_asking()
        assert self._closed_at is not None
        left_s = max(0.0, self._closed_at + drain_s - time.monotonic())
        flights: list[asyncio.Task[Any]] = list(self._flights.values())
        if flights:
            await asyncio.wait(flights, timeout=left_s)
        ended = [*flights, self._renewal] if self._renewal else flights
        for task in ended:
            task.cancel()
        await asyncio.gather(*ended, return_exceptions=True)
        try:
            for key in list(self._unsaved):
                await self._saved(key)
            await self._store.write(lambda c: leases.release_all(c, self._owner))
        except Unavailable as error:
            log.warning(
                "the database failed at the end; leases will expire",
                extra={"reason": error.message},
            )
        await self._store.aclose()

    async def _fly(self, question: Question) -> tuple[Verdict, bool]:
        wait_s = _FIRST_POLL_S
        if question.key in self._unsaved:
            return await self._saved(question.key), True
        while True:
            claimed = await self._store.writes.put(self._claim, question.key)
            self.lease_waits += claimed is _Held.BY_ANOTHER
            while claimed is _Held.BY_ANOTHER:
                await asyncio.sleep(random.uniform(wait_s / 2, wait_s))
                wait_s = min(wait_s * _BACK_OFF, _LONGEST_POLL_S)
                claimed = await self._store.reads.put(_look, question.key)
            if claimed is _Held.BY_US:
                return await self._ask(question), True
            if isinstance(claimed, Verdict):
                return claimed, False

    async def _ask(self, question: Question) -> Verdict:
        """Ask the teacher while we hold the lease; its reply is on disk before this returns."""
        key = question.key
        self._asking.add(key)
        if self._renewal is None:
            self._renewal = asyncio.create_task(self._keep_leases())
        try:
            verdict = await self._judged(question)
        except Exception as error:
            replies = error.rejected if isinstance(error, TeacherError) else ()
            await self._store.writes.put(self._store_answers, self._answer(question, None, replies))
            raise
        else:
            if verdict.incomplete:
                await self._store.writes.put(
                    self._store_answers, self._answer(question, None, verdict.rejected)
                )
                return verdict
            self._unsaved[key] = verdict, self._answer(question, verdict, verdict.rejected)
            return await self._saved(key)
        finally:
            self._asking.discard(key)

    async def _judged(self, question: Question) -> Verdict:
        """The teacher's verdict. Each member of a panel has a flight and a row of its own."""
        panel, rubric, case = question.teacher, question.rubric, question.case
        if not isinstance(panel, Panel):
            return await panel.judge(rubric, case, question.client)

        async def ask(member: Teacher) -> Verdict:
            key = key_of(member, rubric, case, question.sample)
            verdict, ours = await self.obtain(replace(question, key=key, teacher=member))
            return verdict if ours else replace(verdict, spent=Spent())

        return await panel.convene(rubric, ask)

    async def _saved(self, key: str) -> Verdict:
        """Store a verdict that was paid for. Raises `Unavailable`; then it is kept for later."""
        verdict, answer = self._unsaved[key]
        await self._store.writes.put(self._store_answers, answer)
        self._unsaved.pop(key, None)
        return verdict

    @staticmethod
    def _answer(
        question: Question, verdict: Verdict | None, replies: Sequence[RejectedReply]
    ) -> _Answer:
        teacher = question.teacher
        model = str(teacher.identity().get("model", ""))
        return _Answer(
            question.key,
            _row(question, verdict) if verdict else None,
            verdict_rows.rejected_rows(question.key, teacher.provider, model, replies),
        )

    def _claim(self, connection: Connection, keys: Sequence[str]) -> list[_Held | Verdict]:
        """Lease the free keys. One whose verdict was stored in the meantime needs no lease."""
        won = leases.claim(connection, keys, self._owner, self._lease_s)
        stored = verdict_rows.find_verdicts(connection, sorted(won))
        leases.release(connection, sorted(stored), self._owner)
        held = {key: _Held.BY_US if key in won else _Held.BY_ANOTHER for key in keys}
        return [stored.get(key, held[key]) for key in keys]

    def _store_answers(self, connection: Connection, answers: Sequence[_Answer]) -> list[None]:
        """Store the answers and release their leases in one transaction."""
        verdicts = [answer.verdict for answer in answers if answer.verdict is not None]
        verdict_rows.add_verdicts(connection, sorted(verdicts, key=lambda row: str(row["key"])))
        verdict_rows.add_rejected(connection, [row for a in answers for row in a.rejected])
        leases.release(connection, sorted(answer.key for answer in answers), self._owner)
        return [None] * len(answers)

    def _renew(self, connection: Connection, held: Sequence[frozenset[str]]) -> list[None]:
        leases.renew(connection, frozenset().union(*held), self._owner, self._lease_s)
        return [None] * len(held)

    async def _keep_leases(self) -> None:
        while True:
            await asyncio.sleep(self._lease_s / _RENEWALS)
            if not self._asking:
                continue
            try:
                await self._store.writes.put(self._renew, frozenset(self._asking))
            except Unavailable as error:
                log.warning("leases were not renewed", extra={"reason": error.message})

    def _land(self, key: str, flight: asyncio.Task[tuple[Verdict, bool]]) -> None:
        del self._flights[key]
        if not flight.cancelled():
            flight.exception()  # asyncio warns of errors that nobody retrieved; callers may be gone


async def _join(flight: asyncio.Task[tuple[Verdict, bool]]) -> tuple[Verdict, bool]:
    verdict, _ = await asyncio.shield(flight)
    return verdict, False


def _row(question: Question, verdict: Verdict) -> dict[str, Any]:
    """A verdict as a row. A panel's costs nothing of its own: its members' rows have the costs."""
    if isinstance(question.teacher, Panel):
        verdict = replace(verdict, spent=Spent())
    return verdict_rows.verdict_row(question.key, question.rubric, verdict)


def _find(connection: Connection, wanted: Sequence[Sequence[str]]) -> list[dict[str, Verdict]]:
    """The stored verdicts for each request, with one query for all of them."""
    distinct = dict.fromkeys(key for keys in wanted for key in keys)
    stored = verdict_rows.find_verdicts(connection, list(distinct))
    return [{key: stored[key] for key in keys if key in stored} for keys in wanted]


def _look(connection: Connection, keys: Sequence[str]) -> list[_Held | Verdict]:
    """The present state of keys that another judge held a lease for."""
    live = leases.live(connection, keys)
    stored = verdict_rows.find_verdicts(connection, keys)
    held = {key: _Held.BY_ANOTHER if key in live else _Held.BY_NOBODY for key in keys}
    return [stored.get(key, held[key]) for key in keys]
