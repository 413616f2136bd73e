"""The ledger: what was judged is looked up, what is being judged is waited for, and every new
verdict is on disk before anybody is told of it.

Database work runs on one thread of its own, off the event loop. Verdicts that arrive together are
written in one transaction.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import SQLAlchemyError

from galen import digest
from judge import audit, repository
from judge.case import Case
from judge.database import WRITES, cannot_use
from judge.rubric import Rubric
from judge.schemas import ScoreRequest, ScoreResponse
from judge.template import NO_BOUNDARY, Material
from judge.verdict import PARSER_VERSION, Teacher, Verdict

KEY_VERSION = 1
T = TypeVar("T")


def key_of(teacher: Teacher, rubric: Rubric, case: Case, sample: int = 0) -> str:
    """SHA-256 of everything that can change the verdict, and of nothing else.

    Not of weights, gate or clamp, which are applied on reading; not of the boundary, which is
    drawn for each request. The system message is part of what `asked_sha256` covers. The response
    counts byte for byte.
    """
    return digest.of_json(
        {
            "version": KEY_VERSION,
            "parser": PARSER_VERSION,
            "teacher": teacher.identity(),
            "asked": rubric.asked_sha256,
            "user": rubric.template.messages(material_of(case), NO_BOUNDARY)[1],
            "prompt": case.prompt,
            "response": case.response,
            "reference": case.reference,
            "sample": sample,
        }
    )


def material_of(case: Case) -> Material:
    return Material(
        question=case.prompt,
        reasoning=case.transcript.reasoning,
        answer=case.answer,
        reference=case.reference,
    )


class _Batch:
    """Verdicts that are written in one transaction."""

    written: asyncio.Task[None]

    def __init__(self) -> None:
        self.rows: list[dict[str, Any]] = []


class Ledger:
    """One judge's view of the database, and of what is being asked right now."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="ledger")
        self._flights: dict[str, asyncio.Task[Verdict]] = {}
        self._batch: _Batch | None = None
        self._writes: set[asyncio.Task[None]] = set()

    async def find(self, keys: Sequence[str]) -> dict[str, Verdict]:
        """The stored verdicts among `keys`."""
        if not keys:
            return {}
        return await self._run(lambda c: repository.find_verdicts(c, keys), writes=False)

    async def obtain(
        self, key: str, rubric: Rubric, ask: Callable[[], Awaitable[Verdict]]
    ) -> tuple[Verdict, bool]:
        """The verdict for `key`, asked for once however many want it, and whether it was ours.

        Who asks first starts the call; a caller that goes away leaves it running for the others.
        Raises what `ask` raises.
        """
        flight = self._flights.get(key)
        if flight is not None:
            return await asyncio.shield(flight), False
        flight = asyncio.create_task(self._ask_and_store(key, rubric, ask))
        self._flights[key] = flight
        flight.add_done_callback(lambda landed: self._land(key, landed))
        return await asyncio.shield(flight), True

    async def record(
        self, request: ScoreRequest, response: ScoreResponse, keys: Sequence[str | None]
    ) -> None:
        """Append to the audit what was told of a run's items; `keys` as `audit.keep` has them."""
        await self._run(lambda c: audit.keep(c, request, response, keys), writes=True)

    async def check(self) -> None:
        """Raises `Unavailable` if the database does not answer."""
        await self._run(lambda c: c.execute(text("SELECT 1")).scalar_one(), writes=False)

    async def aclose(self) -> None:
        """Give up what is still being asked, write what was answered, close."""
        flights = list(self._flights.values())
        for flight in flights:
            flight.cancel()
        await asyncio.gather(*flights, *self._writes, return_exceptions=True)
        self._thread.shutdown(wait=True)
        self._engine.dispose()

    async def _ask_and_store(
        self, key: str, rubric: Rubric, ask: Callable[[], Awaitable[Verdict]]
    ) -> Verdict:
        verdict = await ask()
        await self._store(repository.verdict_row(key, rubric, verdict))
        return verdict

    async def _store(self, row: dict[str, Any]) -> None:
        """Return once `row` is on disk."""
        if self._batch is None:
            self._batch = _Batch()
            self._batch.written = asyncio.create_task(self._write(self._batch))
            self._writes.add(self._batch.written)
            self._batch.written.add_done_callback(self._writes.discard)
        batch = self._batch
        batch.rows.append(row)
        await asyncio.shield(batch.written)

    async def _write(self, batch: _Batch) -> None:
        await asyncio.sleep(0)  # verdicts that are ready in this turn of the loop join the batch
        self._batch = None
        await self._run(lambda c: repository.add_verdicts(c, batch.rows), writes=True)

    def _land(self, key: str, flight: asyncio.Task[Verdict]) -> None:
        del self._flights[key]
        if not flight.cancelled():
            flight.exception()  # seen, even if everybody who waited for it has gone away

    async def _run(self, work: Callable[[Connection], T], *, writes: bool) -> T:
        return await asyncio.get_running_loop().run_in_executor(
            self._thread, self._in_transaction, work, writes
        )

    def _in_transaction(self, work: Callable[[Connection], T], writes: bool) -> T:
        options = WRITES if writes else {}
        try:
            with self._engine.connect().execution_options(**options) as c, c.begin():
                return work(c)
        except SQLAlchemyError as error:
            raise cannot_use(self._engine, error) from error
