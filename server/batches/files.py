"""Files that callers uploaded and that batches wrote, on disk under ids of our own.

`<id>.data` holds the content, `<id>.json` whose it is and what they call it. The second is written
last and removed first, so a content without it is a leftover, which goes at the next start.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from galen import disk
from galen.errors import PayloadTooLarge, StorageFull
from galen.keys import Caller
from server.batches.schemas import FileObject, Purpose
from server.batches.shelf import Page, Shelf, make_private, new_id, records
from server.schemas import Wire

UPLOAD_LIMIT = 512 * 1024 * 1024
"""Bytes of one upload, form and all."""
SHARE_LIMIT = 16 * 1024 * 1024 * 1024
"""Bytes that the files of one key may take together before it may upload or ask for more."""
LEAST_COUNTED = 1024 * 1024
"""Bytes that a file counts as at least, since each is remembered as well."""


class StoredFile(Wire):
    owner: str
    serial: int
    file: FileObject


class Draft:
    """A content that is being written; it is no file until it is kept."""

    def __init__(self, path: Path, out: BinaryIO) -> None:
        self.path = path
        self.bytes = 0
        self._out = out

    def write(self, piece: bytes) -> None:
        """Raises `StorageFull`."""
        with disk.room():
            self._out.write(piece)
        self.bytes += len(piece)

    def close(self) -> None:
        with disk.room():
            self._out.close()


class FileStore:
    def __init__(self, folder: Path, share_limit: int = SHARE_LIMIT) -> None:
        self._folder = folder
        self._share_limit = share_limit
        self._shelf: Shelf[StoredFile] = Shelf("file")
        make_private(folder)
        self._read()

    def __contains__(self, file_id: str) -> bool:
        return file_id in self._shelf

    def find(self, file_id: str, caller: Caller) -> FileObject:
        """Raises `NotFound`."""
        return self._shelf.find(file_id, caller).file

    def content(self, file_id: str) -> Path:
        """Where a file's bytes lie; they never change."""
        return self._folder / f"{file_id}.data"

    def page(
        self,
        caller: Caller,
        after: str | None,
        limit: int,
        *,
        newest_first: bool = True,
        purpose: str | None = None,
    ) -> Page[FileObject]:
        """Raises `NotFound` if there is no file `after` which to go on."""

        def wanted(stored: StoredFile) -> bool:
            return purpose in (None, stored.file.purpose)

        page = self._shelf.page(caller, after, limit, newest_first=newest_first, wanted=wanted)
        return Page([stored.file for stored in page.items], page.has_more)

    def refuse_beyond_share(self, owner: str) -> None:
        """Raises `PayloadTooLarge` for a key whose files take as much as they may."""
        mine = [stored.file for stored in self._shelf if stored.owner == owner]
        if sum(max(LEAST_COUNTED, file.bytes) for file in mine) >= self._share_limit:
            taken = sum(file.bytes for file in mine)
            raise PayloadTooLarge(
                f"this key has {len(mine):,} files of {taken:,} bytes together, which is all that "
                "it may have; delete some of them first"
            )

    @contextmanager
    def draft(self) -> Iterator[Draft]:
        """A content to write, gone at the end of the block unless it was kept."""
        path = self._folder / f"{new_id('')}.partial"
        with disk.room(), path.open("wb") as out:
            try:
                yield Draft(path, out)
            finally:
                path.unlink(missing_ok=True)

    def keep(
        self, draft: Draft, owner: str, filename: str, purpose: Purpose, file_id: str | None = None
    ) -> FileObject:
        """Make a draft a file. `file_id` replaces a file that an earlier life of the server wrote
        for the same batch. Raises `StorageFull`, with nothing of the draft kept."""
        draft.close()
        file = FileObject(
            id=file_id or new_id("file-"),
            bytes=draft.bytes,
            created_at=int(time.time()),
            filename=filename,
            purpose=purpose,
        )
        stored = StoredFile(owner=owner, serial=self._shelf.next_serial(), file=file)
        draft.path.replace(self.content(file.id))
        try:
            disk.replace(self._record(file.id), stored.model_dump_json().encode())
        except StorageFull:
            if file.id not in self._shelf:
                self.content(file.id).unlink()
            raise
        self._shelf.put(file.id, stored)
        return file

    def delete(self, file_id: str) -> None:
        self._shelf.remove(file_id)
        self._record(file_id).unlink(missing_ok=True)
        self.content(file_id).unlink(missing_ok=True)

    def _record(self, file_id: str) -> Path:
        return self._folder / f"{file_id}.json"

    def _read(self) -> None:
        for stored in records(self._folder, "file-*.json", StoredFile):
            self._shelf.put(stored.file.id, stored)
        for leftover in (*self._folder.glob("*.partial"), *self._folder.glob("file-*.data")):
            if not leftover.with_suffix(".json").exists():
                leftover.unlink()
