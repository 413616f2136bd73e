"""What is known of each batch, on disk: `<folder>/<id>.json`, and its results beside it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from galen import disk
from galen.keys import Caller
from server.batches.schemas import ENDED, Batch, CreateBatch
from server.batches.shelf import Page, Shelf, make_private, new_id, records
from server.schemas import Wire

WINDOW_S = 24 * 3600
MOST_ENDED = 1000
"""Batches of one key that are remembered after their end; then the oldest is forgotten."""


class StoredBatch(Wire):
    """The ids of the two files are fixed from the start, so that writing them again after a kill
    replaces what was half done."""

    owner: str
    serial: int
    output_id: str
    error_id: str
    batch: Batch


class BatchStore:
    def __init__(self, folder: Path, most_ended: int = MOST_ENDED) -> None:
        self._folder = folder
        self._most_ended = most_ended
        self._shelf: Shelf[StoredBatch] = Shelf("batch")
        make_private(folder)
        self._read()

    def create(self, asked: CreateBatch, owner: str, now: int) -> StoredBatch:
        """`now` is in seconds since 1970. Raises `StorageFull`."""
        batch = Batch(
            id=new_id("batch_"),
            created_at=now,
            expires_at=now + WINDOW_S,
            **asked.model_dump(),
        )
        stored = StoredBatch(
            owner=owner,
            serial=self._shelf.next_serial(),
            output_id=new_id("file-"),
            error_id=new_id("file-"),
            batch=batch,
        )
        self._write(stored)
        self._shelf.put(batch.id, stored)
        self._forget_oldest(owner)
        return stored

    def get(self, batch_id: str) -> StoredBatch:
        return self._shelf[batch_id]

    def find(self, batch_id: str, caller: Caller) -> Batch:
        """Raises `NotFound`."""
        return self._shelf.find(batch_id, caller).batch

    def page(self, caller: Caller, after: str | None, limit: int) -> Page[Batch]:
        page = self._shelf.page(caller, after, limit)
        return Page([stored.batch for stored in page.items], page.has_more)

    def open(self) -> Iterator[StoredBatch]:
        """Those that are not at their end."""
        return (stored for stored in self._shelf if stored.batch.status not in ENDED)

    def update(self, batch_id: str, **changes: Any) -> Batch:
        """Change fields, on disk first. Raises `StorageFull`, with nothing changed."""
        changed = self._changed(batch_id, changes)
        self._write(changed)
        self._shelf.put(batch_id, changed)
        return changed.batch

    def note(self, batch_id: str, **changes: Any) -> None:
        """Change fields in memory alone: what the results on disk say again after a restart."""
        self._shelf.put(batch_id, self._changed(batch_id, changes))

    def results(self, batch_id: str) -> Path:
        """Where a batch keeps its results until they are in files."""
        return self._folder / f"{batch_id}.results"

    def _forget_oldest(self, owner: str) -> None:
        ended = [s for s in self._shelf if s.owner == owner and s.batch.status in ENDED]
        surplus = max(0, len(ended) - self._most_ended)
        for stored in sorted(ended, key=lambda stored: stored.serial)[:surplus]:
            self._shelf.remove(stored.batch.id)
            self._record(stored.batch.id).unlink(missing_ok=True)

    def _record(self, batch_id: str) -> Path:
        return self._folder / f"{batch_id}.json"

    def _changed(self, batch_id: str, changes: dict[str, Any]) -> StoredBatch:
        stored = self._shelf[batch_id]
        return stored.model_copy(update={"batch": stored.batch.model_copy(update=changes)})

    def _write(self, stored: StoredBatch) -> None:
        disk.replace(self._record(stored.batch.id), stored.model_dump_json().encode())

    def _read(self) -> None:
        for stored in records(self._folder, "batch_*.json", StoredBatch):
            self._shelf.put(stored.batch.id, stored)
            if stored.batch.status in ENDED:
                self.results(stored.batch.id).unlink(missing_ok=True)
