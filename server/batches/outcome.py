"""A batch's two files: answers, and what has none, each in the order of the input."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing, contextmanager
from itertools import islice

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

    def __init__(
        self,
        stored: StoredBatch,
        journal: Journal,
        end: Status,
        raw_requests: Iterator[bytes],
        output: Draft,
        errors: Draft,
    ) -> None:
        self._stored = stored
        self._journal = journal
        self._end = end
        self._requests = enumerate(islice(raw_requests, journal.size))
        self._output = output
        self._errors = errors

    def advance(self) -> bool:
        """Write some more lines; whether there may be others. Raises `StorageFull`."""
        found = list(islice(self._requests, lines.AT_ONCE))
        for index, raw in found:
            if not self._journal.has(index):
                self._errors.write(_never_asked(lines.parsed(raw), self._end))
                continue
            draft = self._output if self._journal.is_good(index) else self._errors
            draft.write(self._journal.read(index))
        return bool(found)

    def keep(self, files: FileStore) -> dict[str, str]:
        """Make files of what was written: the batch's fields with the ids of those that there are.

        Raises `StorageFull`.
        """
        written = {
            "output_file_id": (self._output, self._stored.output_id),
            "error_file_id": (self._errors, self._stored.error_id),
        }
        kept = {}
        for field, (draft, file_id) in written.items():
            if draft.bytes:
                name = f"{self._stored.batch.id}_{field.removesuffix('_file_id')}.jsonl"
                files.keep(draft, self._stored.owner, name, "batch_output", file_id)
                kept[field] = file_id
        return kept


@contextmanager
def outcome(
    stored: StoredBatch, journal: Journal, files: FileStore, end: Status
) -> Iterator[Outcome]:
    """The outcome of a batch, with the input open to read and both files open to write."""
    source = files.content(stored.batch.input_file_id)
    with (
        closing(lines.raw_requests(source)) as raw_requests,
        files.draft() as output,
        files.draft() as errors,
    ):
        yield Outcome(stored, journal, end, raw_requests, output, errors)


def _never_asked(request: Request, end: Status) -> bytes:
    code, message = NEVER_ASKED[end]
    entry = entry_of(request.custom_id, None, {"code": code, "message": message})
    return json.dumps(entry, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"
