"""Group commit: the event loop's access to the database, one line for reads and one for writes.

Work that arrives while a line is busy is done together in the line's next transaction. So a
thousand verdicts need few commits, and a finished future means that the work is on disk.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeVar

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import OperationalError, SQLAlchemyError

from galen.errors import Unavailable
from judge.ledger.database import WRITES, cannot_use, check

P = TypeVar("P")
R = TypeVar("R")
RETRY_AFTER_S = 5.0
"""Retry-After when the judge is stopping or full."""

Handler = Callable[[Connection, Sequence[P]], Sequence[R]]
"""Handles many payloads in one transaction: one result for each, in order."""


@dataclass(slots=True, eq=False)
class _Job:
    handler: Handler[Any, Any]
    payload: Any
    done: asyncio.Future[Any]


class Line:
    """Runs transactions on one thread; each takes all the work that is waiting."""

    def __init__(self, engine: Engine, *, writes: bool) -> None:
        self._engine = engine
        self._options = WRITES if writes else {}
        name = "ledger-writes" if writes else "ledger-reads"
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix=name)
        self._waiting: list[_Job] = []
        self._pump: asyncio.Task[None] | None = None
        self._closed = False

    def put(self, handler: Handler[P, R], payload: P) -> asyncio.Future[R]:
        """Queue work; the returned future gets the handler's result once it is committed.

        Work is committed in the order in which it was queued. The future fails with `Unavailable`
        if the database fails. Raises `Unavailable` if the line is closed.
        """
        if self._closed:
            raise Unavailable("the judge is stopping", retry_after_s=RETRY_AFTER_S)
        done: asyncio.Future[R] = asyncio.get_running_loop().create_future()
        self._waiting.append(_Job(handler, payload, done))
        if self._pump is None:
            self._pump = asyncio.create_task(self._work())
        return done

    async def aclose(self) -> None:
        """Finish the queued work, then stop."""
        self._closed = True
        if self._pump is not None:
            await self._pump
        self._thread.shutdown(wait=True)

    async def _work(self) -> None:
        while self._waiting:
            jobs, self._waiting = self._waiting, []
            await self._do(jobs)
        self._pump = None

    async def _do(self, jobs: list[_Job]) -> None:
        loop = asyncio.get_running_loop()
        try:
            results = await loop.run_in_executor(self._thread, self._in_transaction, jobs)
        except Exception as error:
            if len(jobs) == 1 or _concerns_all(error):
                for job in jobs:
                    _resolve(job, error=error)
                return
            for job in jobs:  # one job's bad row must not fail the others
                await self._do([job])
            return
        for job, result in zip(jobs, results, strict=True):
            _resolve(job, result)

    def _in_transaction(self, jobs: list[_Job]) -> list[Any]:
        results: dict[_Job, Any] = {}
        try:
            with self._engine.connect().execution_options(**self._options) as c, c.begin():
                for handler in dict.fromkeys(job.handler for job in jobs):
                    mine = [job for job in jobs if job.handler == handler]
                    done = handler(c, [job.payload for job in mine])
                    results.update(zip(mine, done, strict=True))
        except SQLAlchemyError as error:
            raise cannot_use(self._engine, error) from error
        return [results[job] for job in jobs]


class Store:
    """Both lines of one database. `patience_s` is how long `check` waits for them."""

    def __init__(self, engine: Engine, patience_s: float = 4.0) -> None:
        self._engine = engine
        self._patience_s = patience_s
        self.reads = Line(engine, writes=False)
        self.writes = Line(engine, writes=True)

    async def read(self, work: Callable[[Connection], R]) -> R:
        """The result of `work` in a read-only transaction. Raises `Unavailable`."""
        return await self.reads.put(_each, work)

    async def write(self, work: Callable[[Connection], R]) -> R:
        """The result of `work` once it is committed. Raises `Unavailable`."""
        return await self.writes.put(_each, work)

    async def check(self) -> None:
        """Raises `Unavailable` if either line fails or does not answer in time.

        The check waits its turn behind queued work. It writes nothing.
        """
        try:
            async with asyncio.timeout(self._patience_s):
                await self.read(check)
                await self.write(check)
        except TimeoutError:
            where = self._engine.url.render_as_string(hide_password=True)
            message = f"the judge's database {where} did not answer within {self._patience_s:g} s"
            raise Unavailable(f"{message}; see who holds it, and its disk") from None

    async def aclose(self) -> None:
        await self.writes.aclose()
        await self.reads.aclose()
        self._engine.dispose()


def _each(connection: Connection, works: Sequence[Callable[[Connection], R]]) -> list[R]:
    return [work(connection) for work in works]


def _concerns_all(error: Exception) -> bool:
    """Whether the database itself failed: no connection, no space, no table, a lock."""
    return isinstance(error.__cause__, OperationalError)


def _resolve(job: _Job, result: Any = None, error: Exception | None = None) -> None:
    if job.done.cancelled():
        return
    if error is None:
        job.done.set_result(result)
    else:
        job.done.set_exception(error)
