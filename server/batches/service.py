"""What callers may do with files and batches, and the jobs that carry batches out."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from galen.errors import Conflict, InvalidInput, Overloaded
from galen.keys import Caller
from server.batches.asking import Asker, OnLine, Pause, Questioner
from server.batches.files import FileStore
from server.batches.job import Job
from server.batches.schemas import ENDED, Batch, CreateBatch
from server.batches.store import BatchStore

log = logging.getLogger(__name__)

MOST_OPEN = 50
"""Batches of one key that are not at their end."""
TRY_AGAIN_S = 60.0


class BatchService:
    """Batches over whatever `asker` asks. Those that were not at their end go on in `running`."""

    def __init__(
        self,
        asker: Asker,
        files: FileStore,
        store: BatchStore,
        clock: Callable[[], float] = time.time,
        pause: Pause = asyncio.sleep,
        on_line: OnLine = lambda good: None,
    ) -> None:
        self.files = files
        self.store = store
        self._clock = clock
        self._pause = pause
        self._questioner = Questioner(asker, pause, on_line)
        self._jobs: dict[str, Job] = {}
        self._tasks: dict[asyncio.Task[None], str] = {}

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """While this lasts, batches are carried out; what is not done then goes on next time."""
        for stored in list(self.store.open()):
            self._start(stored.batch.id)
        try:
            yield
        finally:
            tasks = list(self._tasks)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def create(self, asked: CreateBatch, caller: Caller) -> Batch:
        """Raises `NotFound` for another's file, `InvalidInput` for one that is no input,
        `Overloaded` if the caller has too many batches open, `PayloadTooLarge` if their files take
        all that they may."""
        file = self.files.find(asked.input_file_id, caller)
        if file.purpose != "batch":
            message = "input_file_id: upload the file with the purpose batch"
            raise InvalidInput(message, param="input_file_id")
        self.files.refuse_beyond_share(caller.name)
        if sum(stored.owner == caller.name for stored in self.store.open()) >= MOST_OPEN:
            message = f"{MOST_OPEN} batches of this key are not at their end; wait for one"
            raise Overloaded(message, retry_after_s=TRY_AGAIN_S)
        batch = self.store.create(asked, caller.name, int(self._clock())).batch
        self._start(batch.id)
        return batch

    def cancel(self, batch_id: str, caller: Caller) -> Batch:
        """Raises `Conflict` for a batch that is at its end or about to be."""
        batch = self.store.find(batch_id, caller)
        if batch.status in ENDED or batch.status == "finalizing":
            raise Conflict(f"the batch is {batch.status}; there is nothing left to cancel")
        if batch.status != "cancelling":
            self._jobs[batch_id].cancel()
        return self.store.find(batch_id, caller)

    def delete_file(self, file_id: str, caller: Caller) -> None:
        """Raises `Conflict` while a batch reads the file."""
        self.files.find(file_id, caller)
        if any(stored.batch.input_file_id == file_id for stored in self.store.open()):
            raise Conflict("a batch is at work on this file; cancel it, or wait for its end")
        self.files.delete(file_id)

    def _start(self, batch_id: str) -> None:
        job = Job(batch_id, self.files, self.store, self._questioner, self._clock, self._pause)
        self._jobs[batch_id] = job
        task = asyncio.create_task(job.run())
        self._tasks[task] = batch_id
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        """A bug ends its batch, so that nobody waits for it for ever, and is logged whole."""
        batch_id = self._tasks.pop(task)
        job = self._jobs.pop(batch_id)
        if not task.cancelled() and (failure := task.exception()):
            log.error("batch given up", extra={"batch": batch_id}, exc_info=failure)
            job.fail("internal_error", "internal error; the service's log has the details")
