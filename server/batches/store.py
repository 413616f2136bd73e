"""The files and batches of all keys, in one private folder.

`batches.sqlite3` holds their records. Beside it lies the content of each file, and the results of
each open batch, as `<id>.jsonl`. Content is written before its record and deleted after it, so
content without a record is left over from a kill and goes at the next start.
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
"""Bytes of one key's files; a key beyond it may neither upload nor begin a batch."""
LEAST_COUNTED = 1024 * 1024
"""Bytes that even a small file counts as, since its record takes room too."""
MOST_ENDED = 1000
"""Ended batches of one key that are remembered."""
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
_FORGET = f"""
DELETE FROM records WHERE serial IN (SELECT serial FROM records
    WHERE owner = ? AND state IN {ENDED} ORDER BY serial DESC LIMIT -1 OFFSET ?)
"""
_OPEN = f"SELECT owner, record FROM records WHERE kind = 'batch' AND state NOT IN {ENDED}"
_TAKEN = """
SELECT total(max(json_extract(record, '$.bytes'), ?)) FROM records
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

    def __init__(
        self, folder: Path, share_limit: int = SHARE_LIMIT, most_ended: int = MOST_ENDED
    ) -> None:
        self._folder = folder
        self._share_limit = share_limit
        self._most_ended = most_ended
        make_private(folder)
        self._db = sqlite3.connect(folder / "batches.sqlite3")
        self._db.executescript(_SCHEMA)
        known = {batch.id for _, batch in self.open_batches()}
        known |= {
            file_id for (file_id,) in self._rows("SELECT id FROM records WHERE kind = 'file'")
        }
        for path in folder.glob("*.jsonl"):
            if path.stem not in known:
                path.unlink()

    def close(self) -> None:
        self._db.close()

    def path(self, record_id: str) -> Path:
        """Where a file's bytes lie, which never change, or an open batch's results."""
        return self._folder / f"{record_id}.jsonl"

    def find(self, kind: type[R], record_id: str, caller: Caller) -> R:
        """Raises the same `NotFound` for what does not exist and for what is another key's."""
        return kind.model_validate_json(self._row(kind, record_id, caller)[1])

    def page(self, kind: type[R], caller: Caller, wanted: Listing) -> Page[R]:
        """Part of the caller's records. Raises `NotFound` if `after` is none of them."""
        up = wanted.order == "asc"
        start = self._row(kind, wanted.after, caller)[0] if wanted.after else 0 if up else 2**62
        further = "serial > ? ORDER BY serial" if up else "serial < ? ORDER BY serial DESC"
        query = "SELECT record FROM records WHERE kind = ? AND (owner = ? OR ?)"
        query += f" AND state = coalesce(?, state) AND {further} LIMIT ?"
        state = wanted.purpose if kind is FileObject else None
        mine = (_KINDS[kind], caller.name, caller.role == "admin")
        rows = self._rows(query, *mine, state, start, wanted.limit + 1)
        data = [kind.model_validate_json(record) for (record,) in rows[: wanted.limit]]
        first, last = (data[0].id, data[-1].id) if data else (None, None)
        return Page[R](data=data, first_id=first, last_id=last, has_more=len(rows) > wanted.limit)

    def open_batches(self) -> list[tuple[str, Batch]]:
        """Batches that have not ended, each with its owner, the oldest first."""
        rows = self._rows(_OPEN + " ORDER BY serial")
        return [(owner, Batch.model_validate_json(record)) for owner, record in rows]

    def refuse_beyond_share(self, owner: str) -> None:
        """Raises `PayloadTooLarge` for a key whose files take as much as they may."""
        ((taken,),) = self._rows(_TAKEN, LEAST_COUNTED, owner)
        if taken >= self._share_limit:
            message = f"this key's files take {taken:,.0f} bytes, which is all that they may"
            raise PayloadTooLarge(f"{message}; delete some of them first")

    @contextmanager
    def draft(self) -> Iterator[BinaryIO]:
        """New content to write, deleted at the end unless `save` was given the file made of it.

        Raises `StorageFull`.
        """
        path = self.path(new_id("file-"))
        try:
            with disk.room(), path.open("wb") as content:
                yield content
        finally:
            if not self._rows("SELECT 1 FROM records WHERE id = ?", path.stem):
                path.unlink(missing_ok=True)

    def file_of(self, draft: BinaryIO, name: str, purpose: Purpose) -> FileObject:
        """The file that a draft, all written, will be."""
        draft.close()
        path, now = Path(draft.name), int(time.time())
        size = path.stat().st_size
        return FileObject(id=path.stem, bytes=size, created_at=now, filename=name, purpose=purpose)

    def save(self, owner: str, *records: FileObject | Batch) -> None:
        """Keep all of these as they are now, or none, and forget the owner's oldest ended batches.

        Raises `StorageFull`.
        """
        with self._transaction():
            for record in records:
                state = record.purpose if isinstance(record, FileObject) else record.status
                row = (record.id, record.object, owner, state, record.model_dump_json())
                self._db.execute(_SAVE, row)
            self._db.execute(_FORGET, (owner, self._most_ended))

    def delete_file(self, file_id: str) -> None:
        with self._transaction():
            self._db.execute("DELETE FROM records WHERE id = ?", (file_id,))
        self.path(file_id).unlink(missing_ok=True)

    def _row(self, kind: type[R], record_id: str, caller: Caller) -> tuple[int, str]:
        query = "SELECT serial, record FROM records WHERE id = ? AND kind = ? AND (owner = ? OR ?)"
        found = self._rows(query, record_id, _KINDS[kind], caller.name, caller.role == "admin")
        if not found:
            message = f"no {_KINDS[kind]} of this id, or it belongs to another key"
            raise NotFound(message, param="id")
        serial, record = found[0]
        return serial, record

    def _rows(self, query: str, *given: Any) -> list[Any]:
        return self._db.execute(query, given).fetchall()

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        try:
            with self._db:
                yield
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode not in _NO_ROOM:
                raise
            raise StorageFull("no room left on the disk; free some and try again") from None
