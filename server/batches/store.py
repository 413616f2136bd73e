"""The files and batches of all keys, in one private folder.

`batches.sqlite3` holds their records. Beside it lie each file's content, `<id>.jsonl`, and the
results of each open batch, `<id>.results`. Content is written before its record and deleted after
it, so content without a record is left over from a kill and goes at the next start.
"""

from __future__ import annotations

import secrets
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from galen import disk
from galen.errors import NotFound, PayloadTooLarge, StorageFull
from galen.keys import Caller
from server.batches.schemas import ENDED, Batch, FileObject, Page, Purpose, R

SHARE_LIMIT = 16 * 1024 * 1024 * 1024
"""Bytes of one key's files; a key beyond it may neither upload nor begin a batch."""
LEAST_COUNTED = 1024 * 1024
"""Bytes that even a small file counts as, since its record takes room too."""
MOST_ENDED = 1000
"""Ended batches of one key that are remembered."""
_SCHEMA = """
PRAGMA journal_mode = WAL;
PRAGMA synchronous = NORMAL;
CREATE TABLE IF NOT EXISTS records (
    serial INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE,
    kind TEXT NOT NULL, owner TEXT NOT NULL, state TEXT NOT NULL, record TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS records_of_owner ON records (owner, kind, state);
"""
_NO_ROOM = frozenset({sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_WRITE})


def new_id(kind: str) -> str:
    """An id that nobody can guess: 144 random bits."""
    return kind + secrets.token_hex(18)


def make_private(folder: Path) -> None:
    """Make a folder that only this user can enter, or make an existing one so.

    It holds what callers asked and were answered, and reading a file takes no key.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder.chmod(0o700)


class Store:
    """To be used by one thread."""

    def __init__(self, folder: Path, share_limit: int = SHARE_LIMIT) -> None:
        self._folder = folder
        self._share_limit = share_limit
        make_private(folder)
        self._db = sqlite3.connect(folder / "batches.sqlite3")
        self._db.executescript(_SCHEMA)
        known = {batch.id for _, batch in self.open_batches()}
        known |= {row[0] for row in self._db.execute("SELECT id FROM records WHERE kind = 'file'")}
        for path in (*folder.glob("file-*.jsonl"), *folder.glob("batch_*.results")):
            if path.stem not in known:
                path.unlink()

    def close(self) -> None:
        self._db.close()

    def find(self, kind: type[R], record_id: str, caller: Caller) -> R:
        """Raises the same `NotFound` for what does not exist and for what is another key's."""
        return kind.model_validate_json(self._row(kind, record_id, caller)[1])

    def page(
        self,
        kind: type[R],
        caller: Caller,
        after: str | None,
        limit: int,
        *,
        oldest_first: bool = False,
        state: str | None = None,
    ) -> Page[R]:
        """The caller's records that follow `after`. Raises `NotFound` if that is none."""
        start = self._row(kind, after, caller)[0] if after else 0 if oldest_first else 2**62
        further = (
            "serial > ? ORDER BY serial" if oldest_first else "serial < ? ORDER BY serial DESC"
        )
        rows = self._db.execute(
            "SELECT record FROM records WHERE kind = ? AND (owner = ? OR ?) "
            f"AND state = coalesce(?, state) AND {further} LIMIT ?",
            (_kind(kind), caller.name, caller.role == "admin", state, start, limit + 1),
        ).fetchall()
        data = [kind.model_validate_json(record) for (record,) in rows[:limit]]
        first, last = (data[0].id, data[-1].id) if data else (None, None)
        return Page[R](data=data, first_id=first, last_id=last, has_more=len(rows) > limit)

    def open_batches(self) -> list[tuple[str, Batch]]:
        """Batches that have not ended, each with its owner, the oldest first."""
        condition = f"kind = 'batch' AND state NOT IN {ENDED}"
        rows = self._db.execute(
            f"SELECT owner, record FROM records WHERE {condition} ORDER BY serial"
        )
        return [(owner, Batch.model_validate_json(record)) for owner, record in rows]

    def refuse_beyond_share(self, owner: str) -> None:
        """Raises `PayloadTooLarge` for a key whose files take as much as they may."""
        counted = "total(max(json_extract(record, '$.bytes'), ?))"
        query = f"SELECT {counted} FROM records WHERE kind = 'file' AND owner = ?"
        ((taken,),) = self._db.execute(query, (LEAST_COUNTED, owner))
        if taken >= self._share_limit:
            message = f"this key's files take {taken:,.0f} bytes, which is all that they may"
            raise PayloadTooLarge(f"{message}; delete some of them first")

    def content(self, file_id: str) -> Path:
        """Where a file's bytes lie; they never change."""
        return self._folder / f"{file_id}.jsonl"

    def results(self, batch_id: str) -> Path:
        """Where a batch keeps its results until they are in files."""
        return self._folder / f"{batch_id}.results"

    @contextmanager
    def draft(self) -> Iterator[BinaryIO]:
        """New content to write, deleted at the end unless a file was made of it.

        Raises `StorageFull`.
        """
        path = self.content(new_id("file-"))
        try:
            with disk.room(), path.open("wb") as content:
                yield content
        finally:
            if not self._db.execute("SELECT 1 FROM records WHERE id = ?", (path.stem,)).fetchone():
                path.unlink(missing_ok=True)

    def file_of(self, draft: BinaryIO, name: str, purpose: Purpose) -> FileObject:
        """What a draft will be once it is added."""
        draft.close()
        path, now = Path(draft.name), int(time.time())
        size = path.stat().st_size
        return FileObject(id=path.stem, bytes=size, created_at=now, filename=name, purpose=purpose)

    def add_file(self, file: FileObject, owner: str) -> None:
        """Raises `StorageFull`."""
        with self._transaction():
            self._add(file, owner, file.purpose)

    def delete_file(self, file_id: str) -> None:
        with self._transaction():
            self._db.execute("DELETE FROM records WHERE id = ?", (file_id,))
        self.content(file_id).unlink(missing_ok=True)

    def add_batch(self, batch: Batch, owner: str, most_ended: int = MOST_ENDED) -> None:
        """Also forgets the owner's oldest ended batches. Raises `StorageFull`."""
        ended = f"SELECT id FROM records WHERE owner = ? AND state IN {ENDED} ORDER BY serial DESC"
        surplus = f"DELETE FROM records WHERE id IN ({ended} LIMIT -1 OFFSET ?)"
        with self._transaction():
            self._add(batch, owner, batch.status)
            self._db.execute(surplus, (owner, most_ended))

    def save_batch(self, batch: Batch, owner: str, *files: FileObject) -> None:
        """Keep a batch as it is now and add its files, all or nothing. Raises `StorageFull`."""
        changed = (batch.status, batch.model_dump_json(), batch.id)
        with self._transaction():
            self._db.execute("UPDATE records SET state = ?, record = ? WHERE id = ?", changed)
            for file in files:
                self._add(file, owner, file.purpose)

    def _add(self, record: FileObject | Batch, owner: str, state: str) -> None:
        self._db.execute(
            "INSERT INTO records (id, kind, owner, state, record) VALUES (?, ?, ?, ?, ?)",
            (record.id, record.object, owner, state, record.model_dump_json()),
        )

    def _row(self, kind: type[R], record_id: str, caller: Caller) -> tuple[int, str]:
        row: tuple[int, str] | None = self._db.execute(
            "SELECT serial, record FROM records WHERE id = ? AND kind = ? AND (owner = ? OR ?)",
            (record_id, _kind(kind), caller.name, caller.role == "admin"),
        ).fetchone()
        if row is None:
            message = f"no {_kind(kind)} of this id, or it belongs to another key"
            raise NotFound(message, param="id")
        return row

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        try:
            with self._db:
                yield
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode not in _NO_ROOM:
                raise
            raise StorageFull("no room left on the disk; free some and try again") from None


def _kind(kind: type[FileObject] | type[Batch]) -> str:
    return "file" if kind is FileObject else "batch"
