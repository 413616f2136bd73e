"""Carries batches out, one task each.

    validating -> in_progress -> completed
        |    `----------`-> cancelling -> cancelled
        `-> failed

Each status is written to disk before the batch acts on it, so after a restart a batch goes on where
it was. Files are processed line by line, and other tasks run after each line.
"""

from __future__ import annotations

import asyncio
import json
import logging
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry, Counter

from galen.errors import Conflict, EngineLost, GalenError, InvalidInput, Overloaded, StorageFull
from galen.journal import Journal
from galen.keys import Caller
from galen.telemetry import accept_request_id, request_id
from server.batches.lines import LineRequest, check, numbered, parsed
from server.batches.schemas import ENDED, Batch, CreateBatch, FileObject, LineError, LineErrors
from server.batches.store import Store, new_id
from server.gateway.proxy import Answer

log = logging.getLogger(__name__)

MOST_OPEN = 50
"""Batches of one key that have not ended."""
PLACES = 32
"""Lines of all batches together that are in memory and under way at once."""
TRIES = 3
"""Failures of one line, deaths of the engine included, after which the failure is its result."""
WAIT_S = 5.0
"""Seconds before a line is tried again, unless an engine gets ready first."""
FULL_DISK_S = 30.0
"""Seconds between two attempts to write to a full disk."""
WAITED_OUT = frozenset({429, 503})
"""Errors that are not the line's fault: a restart, a version being loaded, a limit reached."""

Ask = Callable[[dict[str, Any], str, Caller], Awaitable[Answer]]


@dataclass(slots=True, eq=False)
class Job:
    """A batch that has not ended."""

    batch: Batch
    owner: str
    task: asyncio.Task[None] | None = None
    work: asyncio.Timeout | None = None
    """Around the step under way; it runs out when the batch is cancelled."""


class BatchService:
    def __init__(self, ask: Ask, store: Store, registry: CollectorRegistry) -> None:
        self.store = store
        self.jobs: dict[str, Job] = {}
        self._ask = ask
        self._ready = asyncio.Event()
        self._places = asyncio.Semaphore(PLACES)
        self._alone = asyncio.Lock()
        name, text = "galen_server_batch_lines", "Lines of batches that have their result, by kind"
        lines = Counter(name, text, ["outcome"], registry=registry)
        self._counters = [lines.labels("failed"), lines.labels("ok")]

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Carries batches out inside the block; unfinished ones go on at the next start."""
        for owner, batch in self.store.open_batches():
            self._start(Job(batch, owner))
        try:
            yield
        finally:
            tasks = [job.task for job in self.jobs.values() if job.task and job.task.cancel()]
            await asyncio.gather(*tasks, return_exceptions=True)
            self.store.close()

    def engine_ready(self) -> None:
        """Try all waiting lines again now."""
        self._ready.set()
        self._ready.clear()

    def create(self, wanted: CreateBatch, caller: Caller) -> Batch:
        """Raises `NotFound` for another's file, `InvalidInput` for one that is no input,
        `Overloaded` if the caller has too many open batches, `PayloadTooLarge` if the caller's
        files fill their share, and `StorageFull`."""
        file = self.store.find(FileObject, wanted.input_file_id, caller)
        if file.purpose != "batch":
            message = "input_file_id: upload the file with the purpose batch"
            raise InvalidInput(message, param="input_file_id")
        self.store.refuse_beyond_share(caller.name)
        if sum(job.owner == caller.name for job in self.jobs.values()) >= MOST_OPEN:
            message = f"{MOST_OPEN} batches of this key have not ended; wait for one"
            raise Overloaded(message, retry_after_s=60)
        id, now = new_id("batch_"), int(time.time())
        batch = Batch(**wanted.model_dump(), id=id, created_at=now)
        self.store.save(caller.name, batch)
        self._start(Job(batch, caller.name))
        return batch

    def cancel(self, batch_id: str, caller: Caller) -> Batch:
        """Abort the requests under way; the batch then ends with the answers that it has.

        Raises `Conflict` for a batch that has ended.
        """
        batch = self.store.find(Batch, batch_id, caller)
        job = self.jobs.get(batch_id)
        if not job or batch.status in ENDED:
            raise Conflict(f"the batch is {batch.status}; there is nothing left to cancel")
        if batch.status != "cancelling":
            self._save(job, "cancelling")
            if job.work and not job.work.expired():
                job.work.reschedule(0)
        return job.batch

    def delete_file(self, file_id: str, caller: Caller) -> None:
        """Raises `Conflict` while a batch reads the file."""
        self.store.find(FileObject, file_id, caller)
        if any(job.batch.input_file_id == file_id for job in self.jobs.values()):
            raise Conflict("a batch reads this file; cancel it, or wait for its end")
        self.store.delete_file(file_id)

    def _start(self, job: Job) -> None:
        self.jobs[job.batch.id] = job
        job.task = asyncio.create_task(self._run(job))
        job.task.add_done_callback(lambda _: self.jobs.pop(job.batch.id))

    async def _run(self, job: Job) -> None:
        """A bug ends its batch, so that nobody waits for ever, and its traceback is logged."""
        try:
            while job.batch.status not in ENDED:
                with suppress(TimeoutError):
                    async with asyncio.timeout(None) as job.work:
                        with suppress(StorageFull):
                            await self._step(job)
                            continue
                        await self._wait_for_room(job)
        except Exception:
            log.exception("batch given up", extra={"batch": job.batch.id})
            errors = [LineError(code="internal_error", message="the server's log has the details")]
            self._save(job, "failed", errors=LineErrors(data=errors))
        self.store.path(job.batch.id).unlink(missing_ok=True)

    async def _step(self, job: Job) -> None:
        """Take the step that follows from the status. Raises `StorageFull`."""
        batch = job.batch
        source, results = self.store.path(batch.input_file_id), self.store.path(batch.id)
        if batch.status == "validating":
            total, errors = await check(source, batch.endpoint)
            if errors:
                self._save(job, "failed", errors=LineErrors(data=errors))
            else:
                job.batch = job.batch.counted(total)
                self._save(job, "in_progress")
            return
        with Journal(results, batch.id, batch.request_counts.total) as journal:
            if batch.status == "in_progress":
                await self._ask_all(job, source, journal)
            await self._finish(job, journal)

    async def _ask_all(self, job: Job, source: Path, journal: Journal) -> None:
        """Send every line that has no result. Each takes a place until its result is written."""
        async with asyncio.TaskGroup() as group:
            for index, (_, raw) in enumerate(numbered(source)):
                if journal.has(index):
                    await asyncio.sleep(0)
                    continue
                await self._places.acquire()
                task = group.create_task(self._answer(job, journal, index, raw))
                task.add_done_callback(lambda _: self._places.release())

    async def _answer(self, job: Job, journal: Journal, index: int, raw: bytes) -> None:
        line = parsed(raw, job.batch.endpoint)
        del raw  # Else it is in memory twice until its result is there.
        this_id = accept_request_id(None)
        request_id.set(this_id)
        status, body = await self._result(line, Caller(job.owner, "rollout"))
        self._counters[status == 200].inc()
        response = {"status_code": status, "request_id": this_id, "body": body}
        row: dict[str, Any] = {"custom_id": line.custom_id, "response": response, "error": None}
        row["id"] = f"batch_req_{secrets.token_hex(12)}"
        while not journal.has(index):
            try:
                journal.put(index, status == 200, row)
            except StorageFull:  # No answer is thrown away.
                await self._wait_for_room(job)
        job.batch = job.batch.counted(journal.size, journal.good, journal.failed)
        with suppress(StorageFull):  # The journal has them too.
            self.store.save(job.owner, job.batch)

    async def _result(self, line: LineRequest, caller: Caller) -> tuple[int, Any]:
        """Status and body of the first refusal or answer, or of the last failure.

        An engine's death makes each line under way a suspect. Suspects are asked one at a time, so
        that the line which kills engines takes no other suspect with it.
        """
        failures = 0
        turn: AbstractAsyncContextManager[Any] = nullcontext()
        while True:
            lost = False
            async with turn:
                try:
                    answer = await self._ask(line.body, line.url, caller)
                    status, body = answer.status, json.loads(answer.content)
                except EngineLost as error:
                    status, body, lost, turn = error.status, error.body(), True, self._alone
                    await self._pause()  # The next suspect must not meet the same dead engine.
                except GalenError as error:
                    status, body = error.status, error.body()
                except ValueError:  # It is no JSON.
                    status, body = 502, answer.content.decode("utf-8", "replace")
            if lost or status not in WAITED_OUT:
                failures += 1
                if status < 500 or status == 501 or failures == TRIES:
                    return status, body
            if not lost:
                await self._pause()

    async def _pause(self) -> None:
        """Until an engine gets ready, but not longer than `WAIT_S`."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self._ready.wait(), WAIT_S)

    async def _finish(self, job: Job, journal: Journal) -> None:
        """Write output and error file in the input's order, then the batch's final status."""
        end = "cancelled" if job.batch.status == "cancelling" else "completed"
        job.batch = job.batch.counted(journal.size, journal.good, journal.failed)
        ids: dict[str, str] = {}
        for kind, is_good in (("output", True), ("error", False)):
            if not (journal.good if is_good else journal.failed):
                continue
            # The id is the same after a kill, so that no file is listed twice.
            file_id = ids[f"{kind}_file_id"] = f"file-{kind}-{job.batch.id.removeprefix('batch_')}"
            name = f"{job.batch.id}_{kind}.jsonl"
            with self.store.writing(job.owner, file_id, name, "batch_output") as content:
                for index in filter(journal.has, range(journal.size)):
                    if journal.is_good(index) == is_good:
                        content.write(journal.read(index))
                    await asyncio.sleep(0)
        self._save(job, end, **ids)

    def _save(self, job: Job, status: str, **more: Any) -> None:
        """Raises `StorageFull`, with nothing changed. A cancelled batch can only end."""
        if job.batch.status == "cancelling" and status not in ENDED:
            return
        changes = {"status": status, f"{status}_at": int(time.time()), **more}
        changed = job.batch.model_copy(update=changes)
        self.store.save(job.owner, changed)
        job.batch = changed
        log.info("batch", extra={"batch": changed.id, "status": status})

    async def _wait_for_room(self, job: Job) -> None:
        log.error("batch waits: the disk is full", extra={"batch": job.batch.id})
        await asyncio.sleep(FULL_DISK_S)
