"""A batch's two files: answers, and what has none, each in the order of the input."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack
from itertools import islice
from types import TracebackType
from typing import Self

from galen.journal import Journal
from server.batches import lines
from server.batches.asking import entry_of
from server.batches.files import Draft, FileStore
from server.batches.lines import Request
from server.batches.schemas import Status
from server.batches.store import StoredBatch

NEVER_ASKED = {
    "expired": ("batch_expired", "the completion window ended before this request was answered"),
    "cancelled": ("batch_cancelled", "the batch was cancelled before this request was answered"),
}


class Outcome:
    """Writes the files bit by bit, so that nothing else has to wait for a long batch.

    `end` says why a line may have no result. Nothing stays on disk of files that are not kept.
    """

    def __init__(self, stored: StoredBatch, journal: Journal, files: FileStore, end: Status):
        self._stored = stored
        self._journal = journal
        self._files = files
        self._end = end
        source = files.content(stored.batch.input_file_id)
        self._lines = enumerate(islice(lines.raw_requests(source), journal.size))
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        self._output = self._stack.enter_context(self._files.draft())
        self._errors = self._stack.enter_context(self._files.draft())
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stack.__exit__(kind, error, trace)

    def advance(self) -> bool:
        """Write some more lines; whether there may be others. Raises `StorageFull`."""
        found = list(islice(self._lines, lines.AT_ONCE))
        for index, raw in found:
            if not self._journal.has(index):
                self._errors.write(_never_asked(lines.parsed(raw), self._end))
                continue
            draft = self._output if self._journal.is_good(index) else self._errors
            draft.write(self._journal.read(index))
        return bool(found)

    def keep(self) -> dict[str, str]:
        """Make files of what was written: the batch's fields with the ids of those that there
        are."""
        return {field: self._kept(field, *each) for field, each in self._parts() if each[0].bytes}

    def _parts(self) -> Iterator[tuple[str, tuple[Draft, str]]]:
        yield "output_file_id", (self._output, self._stored.output_id)
        yield "error_file_id", (self._errors, self._stored.error_id)

    def _kept(self, field: str, draft: Draft, file_id: str) -> str:
        name = f"{self._stored.batch.id}_{field.removesuffix('_file_id')}.jsonl"
        self._files.keep(draft, self._stored.owner, name, "batch_output", file_id)
        return file_id


def _never_asked(request: Request, end: Status) -> bytes:
    code, message = NEVER_ASKED[end]
    entry = entry_of(request.custom_id, None, {"code": code, "message": message})
    return json.dumps(entry, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"
