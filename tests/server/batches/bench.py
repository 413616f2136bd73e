"""What the tests of batches work with: a service on a folder, and files of requests."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from galen.keys import Caller
from server.batches.files import SHARE_LIMIT, FileStore
from server.batches.schemas import ENDED, Batch, CreateBatch, FileObject
from server.batches.service import BatchService
from server.batches.store import BatchStore
from tests.fakes.asker import FakeAsker

ANN = Caller("ann", "user")
ENDPOINT = "/v1/completions"


def line(prompt: str, **changes: Any) -> str:
    """A good line of a batch, but for `changes`."""
    asked = {"custom_id": prompt, "method": "POST", "url": ENDPOINT, "body": {"prompt": prompt}}
    return json.dumps({**asked, **changes}, ensure_ascii=False)


@dataclass
class Bench:
    """`pauses` are the seconds that were waited; waiting takes no time here."""

    folder: Path
    asker: FakeAsker
    now: float = 1_000_000.0
    pauses: list[float] = field(default_factory=list)
    share_limit: int = SHARE_LIMIT

    @contextlib.asynccontextmanager
    async def service(self) -> AsyncIterator[BatchService]:
        """The service as a start of the server makes it; the block's end is the server's."""
        files = FileStore(self.folder / "files", self.share_limit)
        store = BatchStore(self.folder / "batches")
        service = BatchService(self.asker, files, store, self._clock, self._pause)
        async with service.running():
            yield service

    def _clock(self) -> float:
        return self.now

    async def _pause(self, seconds: float) -> None:
        self.pauses.append(seconds)
        await asyncio.sleep(0)


def upload(service: BatchService, lines: Iterable[str | bytes], owner: str = "ann") -> FileObject:
    with service.files.draft() as draft:
        for text in lines:
            draft.write((text.encode() if isinstance(text, str) else text) + b"\n")
        return service.files.keep(draft, owner, "in.jsonl", "batch")


def begin(service: BatchService, lines: Iterable[str | bytes], caller: Caller = ANN) -> Batch:
    file = upload(service, lines, caller.name)
    asked = CreateBatch(input_file_id=file.id, endpoint=ENDPOINT, completion_window="24h")
    return service.create(asked, caller)


async def ended(service: BatchService, batch_id: str) -> Batch:
    """The batch once it is at its end."""
    await until(lambda: service.store.get(batch_id).batch.status in ENDED)
    return service.store.get(batch_id).batch


async def until(is_so: Callable[[], bool]) -> None:
    while not is_so():  # noqa: ASYNC110 - what is on disk tells nobody
        await asyncio.sleep(0.001)


def answered(service: BatchService, batch_id: str) -> int:
    return service.store.get(batch_id).batch.request_counts.completed


def rows(service: BatchService, file_id: str | None) -> list[Any]:
    assert file_id is not None
    return [json.loads(row) for row in service.files.content(file_id).read_text().splitlines()]


def ids(service: BatchService, file_id: str | None) -> list[str]:
    """The custom_ids in a file, in its order."""
    return [row["custom_id"] for row in rows(service, file_id)]
