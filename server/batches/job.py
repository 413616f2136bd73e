"""One batch from its first line to its last file.

    validating -> in_progress -> finalizing -> completed | expired
        |              `-----> cancelling ---> cancelled
        `-> failed

Each step is on disk before the next begins, so that a job made anew after a restart goes on with
the step that was not done.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Generator
from contextlib import closing
from functools import partial
from typing import Any, TypeVar

from galen.errors import StorageFull
from galen.journal import Journal
from server.batches import lines
from server.batches.asking import PLACES, Pause, Questioner
from server.batches.files import FileStore
from server.batches.lines import Request
from server.batches.outcome import outcome
from server.batches.schemas import ENDED, Batch, LineError, LineErrors, RequestCounts, Status
from server.batches.store import BatchStore

log = logging.getLogger(__name__)

FULL_DISK_S = 30.0
"""Between two attempts to write where there is no room."""
T = TypeVar("T")
Pending = Generator[tuple[int, Request], None, None]
"""Lines that have no result yet, with their place among the requests."""


class Job:
    """`clock` tells seconds since 1970."""

    def __init__(
        self,
        batch_id: str,
        files: FileStore,
        store: BatchStore,
        questioner: Questioner,
        clock: Callable[[], float],
        pause: Pause,
    ) -> None:
        self._id = batch_id
        self._files = files
        self._store = store
        self._questioner = questioner
        self._clock = clock
        self._pause = pause
        self._stop = asyncio.Event()

    @property
    def _batch(self) -> Batch:
        return self._store.get(self._id).batch

    def cancel(self) -> None:
        """Ask nothing more; `run` then ends the batch with what there is."""
        self._store.update(self._id, status="cancelling", cancelling_at=int(self._clock()))
        self._stop.set()

    async def run(self) -> None:
        if self._batch.status == "validating":
            await self._validate()
        if self._batch.status in ENDED:
            return
        results, size = self._store.results(self._id), self._batch.request_counts.total
        with await self._kept(lambda: Journal(results, self._id, size)) as journal:
            self._count(journal)
            if self._batch.status == "in_progress":
                await self._ask(journal)
            if self._batch.status in ("finalizing", "cancelling"):
                await self._finish(journal)

    def fail(self, code: str, message: str) -> None:
        """End the batch without results."""
        self._to("failed", errors=_errors(LineError(code=code, message=message)))

    async def _validate(self) -> None:
        source = self._files.content(self._batch.input_file_id)
        with lines.check(source, self._batch.endpoint) as check:
            while not self._stop.is_set() and await _in_thread(check.advance):
                pass
        if self._stop.is_set():
            return
        if errors := check.errors():
            await self._step("failed", errors=_errors(*errors))
        else:
            await self._step("in_progress", request_counts=RequestCounts(total=check.requests))

    async def _ask(self, journal: Journal) -> None:
        """Ask for what has no result, until all is answered, the window ends or `cancel` is
        called."""
        left_s = self._batch.expires_at - self._clock()
        if left_s > 0:
            await self._ask_until(journal, left_s)
        await self._step("finalizing")

    async def _ask_until(self, journal: Journal, left_s: float) -> None:
        asking = asyncio.create_task(self._ask_all(journal))
        stopping = asyncio.create_task(self._stop.wait())
        both = {asking, stopping}
        try:
            await asyncio.wait(both, timeout=left_s, return_when=asyncio.FIRST_COMPLETED)
        finally:
            asking.cancel()
            stopping.cancel()
            await asyncio.wait(both)
        if not asking.cancelled():
            asking.result()

    async def _ask_all(self, journal: Journal) -> None:
        pending = self._pending(journal)
        with closing(pending):
            async with asyncio.TaskGroup() as workers:
                for _ in range(PLACES):
                    workers.create_task(self._work(journal, pending))

    def _pending(self, journal: Journal) -> Pending:
        path = self._files.content(self._batch.input_file_id)
        for index, raw in enumerate(lines.raw_requests(path)):
            if not journal.has(index):
                yield index, lines.parsed(raw)

    async def _work(self, journal: Journal, pending: Pending) -> None:
        """Take one line after the other; `pending` is shared with the other workers."""
        owner, endpoint = self._store.get(self._id).owner, self._batch.endpoint
        for index, request in pending:
            result = await self._questioner.answer(request, endpoint, owner)
            await self._kept(partial(journal.put, index, result.good, result.entry))
            self._count(journal)

    def _count(self, journal: Journal) -> None:
        counts = self._batch.request_counts.model_copy(
            update={"completed": journal.good, "failed": journal.failed}
        )
        self._store.note(self._id, request_counts=counts)

    async def _finish(self, journal: Journal) -> None:
        """Write the two files and say how the batch ended."""
        end: Status = "completed" if journal.good + journal.failed == journal.size else "expired"
        if self._batch.status == "cancelling":
            end = "cancelled"
        written = await self._write_files(journal, end)
        await self._kept(lambda: self._to(end, **written))
        journal.path.unlink(missing_ok=True)

    async def _write_files(self, journal: Journal, end: Status) -> dict[str, str]:
        """The batch's fields that name the files."""
        while True:
            try:
                with outcome(self._store.get(self._id), journal, self._files, end) as writing:
                    while await _in_thread(writing.advance):
                        pass
                    return writing.keep(self._files)
            except StorageFull as full:
                reason = full
            await self._wait_for_room(reason)

    async def _step(self, status: Status, **more: Any) -> None:
        """Go on to this status, unless the batch is cancelled before there is room to say so."""
        await self._kept(lambda: None if self._stop.is_set() else self._to(status, **more))

    def _to(self, status: Status, **more: Any) -> None:
        self._store.update(self._id, status=status, **{f"{status}_at": int(self._clock())}, **more)
        log.info("batch", extra={"batch": self._id, "status": status})

    async def _kept(self, write: Callable[[], T]) -> T:
        """What `write` gives, as soon as there is room: results are never thrown away."""
        while True:
            try:
                return write()
            except StorageFull as full:
                reason = full
            await self._wait_for_room(reason)

    async def _wait_for_room(self, reason: StorageFull) -> None:
        log.error("batch waits", extra={"batch": self._id, "reason": reason.message})
        await self._pause(FULL_DISK_S)


async def _in_thread(call: Callable[[], bool]) -> bool:
    """What `call` gives, from a thread. Whoever is cancelled meanwhile waits for its end, since
    what it works on is closed then."""
    working = asyncio.create_task(asyncio.to_thread(call))
    try:
        return await asyncio.shield(working)
    finally:
        await asyncio.wait({working})


def _errors(*errors: LineError) -> LineErrors:
    return LineErrors(data=errors)
