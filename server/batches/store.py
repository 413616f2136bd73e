"""The files and batches of all keys, in one private folder.

`batches.sqlite3` holds their records. `<id>.jsonl` holds the content of a file or the results of an
open batch. Content is written before its record and deleted after it. Content without a record is
left over from a kill and is deleted at the next start.
"""

from __future__ import annotations

import secrets
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from galen import disk
from galen.errors import NotFound, PayloadTooLarge, StorageFull
from galen.keys import Caller
from server.batches.schemas import ENDED, Batch, FileObject, Listing, Page, Purpose, R

SHARE_LIMIT = 16 * 1024 * 1024 * 1024
"""Bytes of one key's files. Each counts 1 MiB more than it has, which bounds their number too."""
_KINDS = {FileObject: "file", Batch: "batch"}
_SCHEMA = """
PRAGMA journal_mode = WAL;
PRAGMA synchronous = NORMAL;
CREATE TABLE IF NOT EXISTS records (
    serial INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE,
    kind TEXT NOT NULL, owner TEXT NOT NULL, state TEXT NOT NULL, record TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS records_of_owner ON records (owner, kind, state);
"""
_SAVE = """
INSERT INTO records (id, kind, owner, state, record) VALUES (?, ?, ?, ?, ?)
ON CONFLICT (id) DO UPDATE SET state = excluded.state, record = excluded.record
"""
_OPEN = f"SELECT owner, record FROM records WHERE kind = 'batch' AND state NOT IN {ENDED}"
_PAGE = """
SELECT record FROM records WHERE kind = ? AND (owner = ? OR ?) AND state = coalesce(?, state)
    AND serial < coalesce((SELECT serial FROM records WHERE id = ?), ?) ORDER BY serial DESC LIMIT ?
"""
_USED = """
SELECT total(json_extract(record, '$.bytes') + 1048576) FROM records
WHERE kind = 'file' AND owner = ?
"""
_NO_ROOM = frozenset(
    {sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_WRITE, sqlite3.SQLITE_IOERR_SHMSIZE}
)


def new_id(kind: str) -> str:
    """An id that nobody can guess: 144 random bits."""
    return kind + secrets.token_hex(18)


def make_private(folder: Path) -> None:
    """Let only this user enter a folder, new or old: reading what is in it takes no key."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder.chmod(0o700)


class Store:
    """To be used by one thread."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        make_private(folder)
        self._db = sqlite3.connect(folder / "batches.sqlite3")
        self.close = self._db.close
        self._db.executescript(_SCHEMA)
        needed = f"SELECT id FROM records WHERE kind = 'file' OR state NOT IN {ENDED}"
        known = {record_id for (record_id,) in self._rows(needed)}
        for path in folder.glob("*.jsonl"):
            if path.stem not in known:
                path.unlink()

    def path(self, record_id: str) -> Path:
        """Path of a file's bytes, which never change, or of an open batch's results."""
        return self._folder / f"{record_id}.jsonl"

    def find(self, kind: type[R], record_id: str, caller: Caller) -> R:
        """Raises the same `NotFound` for what does not exist and for what is another key's."""
        query = "SELECT record FROM records WHERE id = ? AND kind = ? AND (owner = ? OR ?)"
        rows = self._rows(query, record_id, _KINDS[kind], caller.name, caller.role == "admin")
        if not rows:
            message = f"no {_KINDS[kind]} of this id, or it belongs to another key"
            raise NotFound(message, param="id")
        return kind.model_validate_json(rows[0][0])

    def page(self, kind: type[R], caller: Caller, wanted: Listing) -> Page[R]:
        """Part of the caller's records. Raises `NotFound` if `after` is none of them."""
        if wanted.after:
            self.find(kind, wanted.after, caller)
        mine = (_KINDS[kind], caller.name, caller.role == "admin")
        state = wanted.purpose if kind is FileObject else None
        rows = self._rows(_PAGE, *mine, state, wanted.after, 2**62, wanted.limit + 1)
        data = [kind.model_validate_json(record) for (record,) in rows[: wanted.limit]]
        first, last = (data[0].id, data[-1].id) if data else (None, None)
        return Page[R](data=data, first_id=first, last_id=last, has_more=len(rows) > wanted.limit)

    def open_batches(self) -> list[tuple[str, Batch]]:
        """Batches that have not ended, each with its owner, the oldest first."""
        rows = self._rows(_OPEN + " ORDER BY serial")
        return [(owner, Batch.model_validate_json(record)) for owner, record in rows]

    def refuse_beyond_share(self, owner: str) -> None:
        """Raises `PayloadTooLarge` for a key whose files fill its share."""
        ((used,),) = self._rows(_USED, owner)
        if used >= SHARE_LIMIT:
            message = f"this key's files take {used:,.0f} bytes, which is its whole share"
            raise PayloadTooLarge(f"{message}; delete some of them first")

    @contextmanager
    def writing(self, owner: str, file_id: str, name: str, purpose: Purpose) -> Iterator[BinaryIO]:
        """Opens a file's content, which appears once all is written. Raises `StorageFull`."""
        path, now = self.path(file_id), int(time.time())
        try:
            with disk.room(), path.open("wb") as content:
                yield content
            more = {"filename": name, "purpose": purpose, "bytes": path.stat().st_size}
            self.save(owner, FileObject.model_validate({"id": file_id, "created_at": now, **more}))
        except BaseException:
            path.unlink(missing_ok=True)
            raise

    def save(self, owner: str, record: FileObject | Batch) -> None:
        """Save a record as it is now. Raises `StorageFull`."""
        state = record.purpose if isinstance(record, FileObject) else record.status
        row = (record.id, record.object, owner, state, record.model_dump_json())
        self._write(_SAVE, row)

    def delete_file(self, file_id: str) -> None:
        self._write("DELETE FROM records WHERE id = ?", (file_id,))
        self.path(file_id).unlink(missing_ok=True)

    def _write(self, query: str, given: tuple[str, ...]) -> None:
        try:
            with self._db:
                self._db.execute(query, given)
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode not in _NO_ROOM:
                raise
            raise StorageFull("no room left on the disk; free some and try again") from None

    def _rows(self, query: str, *given: Any) -> list[Any]:
        return self._db.execute(query, given).fetchall()
