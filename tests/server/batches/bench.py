"""What the tests of batches work with: a service on a folder, and files of requests."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry

from galen.keys import Caller
from server.batches.schemas import ENDED, Batch, CreateBatch, FileObject
from server.batches.service import BatchService
from server.batches.store import Store, new_id
from tests.fakes.asker import FakeAsker

ANN, BEN, ROOT = Caller("ann", "user"), Caller("ben", "user"), Caller("root", "admin")
ENDPOINT = "/v1/completions"


def line(prompt: str, **changes: Any) -> str:
    """A good line of a batch, but for `changes`."""
    asked = {"custom_id": prompt, "method": "POST", "url": ENDPOINT, "body": {"prompt": prompt}}
    return json.dumps({**asked, **changes}, ensure_ascii=False)


@dataclass
class Bench:
    folder: Path
    asker: FakeAsker
    registry: CollectorRegistry = field(default_factory=CollectorRegistry)

    @contextlib.asynccontextmanager
    async def service(self) -> AsyncIterator[BatchService]:
        """The service as a start of the server makes it; the block's end is the server's."""
        self.registry = CollectorRegistry()
        service = BatchService(self.asker.ask, Store(self.folder), self.registry)
        async with service.running():
            yield service


def keep(store: Store, text: bytes, owner: str = "ann") -> FileObject:
    file_id = new_id("file-")
    with store.writing(owner, file_id, "in.jsonl", "batch") as content:
        content.write(text)
    return store.find(FileObject, file_id, ROOT)


def begin(service: BatchService, lines: Iterable[str | bytes], caller: Caller = ANN) -> Batch:
    content = b"".join((raw.encode() if isinstance(raw, str) else raw) + b"\n" for raw in lines)
    file = keep(service.store, content, caller.name)
    asked = CreateBatch(input_file_id=file.id, endpoint=ENDPOINT, completion_window="24h")
    return service.create(asked, caller)


async def ended(service: BatchService, batch_id: str) -> Batch:
    """The batch once it is at its end."""
    await until(lambda: service.store.find(Batch, batch_id, ROOT).status in ENDED)
    return service.store.find(Batch, batch_id, ROOT)


async def until(is_so: Callable[[], bool]) -> None:
    while not is_so():  # noqa: ASYNC110 - what is on disk tells nobody
        await asyncio.sleep(0)


def answered(service: BatchService, batch_id: str) -> int:
    return service.store.find(Batch, batch_id, ROOT).request_counts.completed


def rows(service: BatchService, file_id: str | None) -> list[Any]:
    assert file_id is not None
    return [json.loads(row) for row in service.store.path(file_id).read_text().splitlines()]


def ids(service: BatchService, file_id: str | None) -> list[str]:
    """The custom_ids in a file, in its order."""
    return [row["custom_id"] for row in rows(service, file_id)]
