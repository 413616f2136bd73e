"""The ledger: what was judged is looked up, what is being judged is waited for, and every new
verdict is on disk before anybody is told of it.

What is being judged has a flight here, which callers of this process share, and a lease in the
database, which the judges of other processes respect.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
import uuid
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

from sqlalchemy import Connection

from galen.errors import Unavailable
from judge import audit, leases, repository
from judge.question import Question
from judge.schemas import ScoreRequest, ScoreResponse
from judge.store import RETRY_AFTER_S, Store
from judge.verdict import RejectedReply, TeacherError, Verdict

log = logging.getLogger(__name__)


class _Held(Enum):
    """Who may ask about a key."""

    BY_US = "won"
    BY_ANOTHER = "taken"
    BY_NOBODY = "free"


@dataclass(frozen=True, slots=True)
class _Answer:
    """What an asked teacher said: rows for the database."""

    key: str
    verdict: dict[str, Any] | None
    rejected: list[dict[str, Any]]


_FIRST_LOOK_S, _LONGEST_LOOK_S, _SLOWER = 0.02, 0.5, 1.6
"""How often the ledger is asked whether another judge's call has come back."""
_BEATS = 3
"""How often a lease is renewed while it lasts."""


class Ledger:
    """One judge's view of what was asked, and of what is being asked right now."""

    def __init__(self, store: Store, lease_s: float = 10.0) -> None:
        self._store = store
        self._owner = uuid.uuid4().hex
        self._lease_s = lease_s
        self._flights: dict[str, asyncio.Task[tuple[Verdict, bool]]] = {}
        self._asking: set[str] = set()
        self._heart: asyncio.Task[None] | None = None
        self._closed_at: float | None = None
        self.lease_waits = 0
        """How often another judge was asking already."""

    @property
    def boarding(self) -> int:
        """How many judgements have not reached their teacher yet, and may."""
        return len(self._flights) - len(self._asking)

    def is_flying(self, key: str) -> bool:
        """Whether somebody here has asked already, so that asking again costs nothing."""
        return key in self._flights

    async def find(self, keys: Sequence[str]) -> dict[str, Verdict]:
        """The stored verdicts among `keys`."""
        if not keys:
            return {}
        return await self._store.reads.put(_find, keys)

    def obtain(self, question: Question) -> Awaitable[tuple[Verdict, bool]]:
        """The verdict, asked for once however many want it, and whether this caller pays for it.

        The call starts now; a caller that goes away leaves it running for the others. Awaiting it
        raises what the teacher raises, and `Unavailable` where the database fails. Raises
        `Unavailable` if the judge is stopping.
        """
        if self._closed_at is not None:
            raise Unavailable("the judge is stopping", retry_after_s=RETRY_AFTER_S)
        flight = self._flights.get(question.key)
        if flight is not None:
            return _passenger(flight)
        flight = asyncio.create_task(self._fly(question))
        self._flights[question.key] = flight
        flight.add_done_callback(lambda landed: self._land(question.key, landed))
        return asyncio.shield(flight)

    async def record(
        self, request: ScoreRequest, response: ScoreResponse, keys: Sequence[str | None]
    ) -> None:
        """Append to the audit what was told of a run's items; `keys` as `audit.keep` has them."""
        await self._store.write(lambda c: audit.keep(c, request, response, keys))

    async def check(self) -> None:
        """Raises `Unavailable` if the database cannot be read and written."""
        await self._store.check()

    def close_door(self) -> None:
        """Start nothing new; what is in the ledger is still told."""
        if self._closed_at is None:
            self._closed_at = time.monotonic()

    async def aclose(self, drain_s: float = 0.0) -> None:
        """Give what is being asked `drain_s` seconds from the closing of the door, give up the
        rest, then close the store."""
        self.close_door()
        assert self._closed_at is not None
        left_s = max(0.0, self._closed_at + drain_s - time.monotonic())
        flights: list[asyncio.Task[Any]] = list(self._flights.values())
        if flights:
            await asyncio.wait(flights, timeout=left_s)
        ended = [*flights, self._heart] if self._heart else flights
        for task in ended:
            task.cancel()
        await asyncio.gather(*ended, return_exceptions=True)
        try:
            await self._store.write(lambda c: leases.release_all(c, self._owner))
        except Unavailable as error:
            log.warning("leases are left to run out", extra={"reason": error.message})
        await self._store.aclose()

    async def _fly(self, question: Question) -> tuple[Verdict, bool]:
        wait_s = _FIRST_LOOK_S
        while True:
            claimed = await self._store.writes.put(self._claim, question.key)
            self.lease_waits += claimed is _Held.BY_ANOTHER
            while claimed is _Held.BY_ANOTHER:
                await asyncio.sleep(random.uniform(wait_s / 2, wait_s))
                wait_s = min(wait_s * _SLOWER, _LONGEST_LOOK_S)
                claimed = await self._store.reads.put(_look, question.key)
            if claimed is _Held.BY_US:
                return await self._ask(question), True
            if isinstance(claimed, Verdict):
                return claimed, False

    async def _ask(self, question: Question) -> Verdict:
        """Ask the teacher under our lease; what it said is on disk before anybody is told."""
        key, teacher = question.key, question.teacher
        self._asking.add(key)
        if self._heart is None:
            self._heart = asyncio.create_task(self._keep_leases())
        try:
            verdict = await teacher.judge(question.rubric, question.case, question.client)
        except Exception as error:
            replies = error.rejected if isinstance(error, TeacherError) else ()
            await self._store.writes.put(self._put_down, self._answer(question, None, replies))
            raise
        else:
            answer = self._answer(question, verdict, verdict.rejected)
            await self._store.writes.put(self._put_down, answer)
            return verdict
        finally:
            self._asking.discard(key)

    @staticmethod
    def _answer(
        question: Question, verdict: Verdict | None, replies: Sequence[RejectedReply]
    ) -> _Answer:
        teacher = question.teacher
        model = str(teacher.identity().get("model", ""))
        return _Answer(
            question.key,
            repository.verdict_row(question.key, question.rubric, verdict) if verdict else None,
            repository.rejected_rows(question.key, teacher.provider, model, replies),
        )

    def _claim(self, connection: Connection, keys: Sequence[str]) -> list[_Held | Verdict]:
        """Lease what is free. A verdict may have been stored since the caller looked: then no
        lease is needed."""
        won = leases.claim(connection, keys, self._owner, self._lease_s)
        stored = repository.find_verdicts(connection, sorted(won))
        leases.release(connection, sorted(stored), self._owner)
        held = {key: _Held.BY_US if key in won else _Held.BY_ANOTHER for key in keys}
        return [stored.get(key, held[key]) for key in keys]

    def _put_down(self, connection: Connection, answers: Sequence[_Answer]) -> list[None]:
        """Store what came back, and let go of the leases, in one transaction."""
        verdicts = [answer.verdict for answer in answers if answer.verdict is not None]
        repository.add_verdicts(connection, sorted(verdicts, key=lambda row: str(row["key"])))
        repository.add_rejected(connection, [row for a in answers for row in a.rejected])
        leases.release(connection, sorted(answer.key for answer in answers), self._owner)
        return [None] * len(answers)

    def _renew(self, connection: Connection, held: Sequence[frozenset[str]]) -> list[None]:
        leases.renew(connection, frozenset().union(*held), self._owner, self._lease_s)
        return [None] * len(held)

    async def _keep_leases(self) -> None:
        while True:
            await asyncio.sleep(self._lease_s / _BEATS)
            if not self._asking:
                continue
            try:
                await self._store.writes.put(self._renew, frozenset(self._asking))
            except Unavailable as error:
                log.warning("leases were not renewed", extra={"reason": error.message})

    def _land(self, key: str, flight: asyncio.Task[tuple[Verdict, bool]]) -> None:
        del self._flights[key]
        if not flight.cancelled():
            flight.exception()  # seen, even if everybody who waited for it has gone away


async def _passenger(flight: asyncio.Task[tuple[Verdict, bool]]) -> tuple[Verdict, bool]:
    verdict, _ = await asyncio.shield(flight)
    return verdict, False


def _find(connection: Connection, wanted: Sequence[Sequence[str]]) -> list[dict[str, Verdict]]:
    """What is stored of each wish, with one question to the database for all of them."""
    keys = dict.fromkeys(key for wish in wanted for key in wish)
    stored = repository.find_verdicts(connection, list(keys))
    return [{key: stored[key] for key in wish if key in stored} for wish in wanted]


def _look(connection: Connection, keys: Sequence[str]) -> list[_Held | Verdict]:
    """What has become of keys that another judge was asking about."""
    live = leases.live(connection, keys)
    stored = repository.find_verdicts(connection, keys)
    held = {key: _Held.BY_ANOTHER if key in live else _Held.BY_NOBODY for key in keys}
    return [stored.get(key, held[key]) for key in keys]
