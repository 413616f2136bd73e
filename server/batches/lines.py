"""The lines of a batch's input file: read one by one, and checked before any is asked."""

from __future__ import annotations

import codecs
import hashlib
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from galen.errors import InvalidInput, MalformedJson
from server.batches.schemas import Endpoint, LineError
from server.gateway import body as bodies

MOST_LINES = 100_000
"""Requests in one batch."""
LONGEST_LINE = 8 * 1024 * 1024
"""Bytes."""
SKIPPED = 64 * 1024
"""Bytes of the rest of a longer line that are read at a time."""
LONGEST_CUSTOM_ID = 512
"""Characters."""
MOST_ERRORS = 100
"""Bad lines that are reported one by one; the rest are counted."""
AT_ONCE = 256
"""Lines that are checked in one go."""
FIELDS = frozenset({"custom_id", "method", "url", "body"})


class BadLine(Exception):
    """A line that is no request, and why, in words that hold nothing of it."""

    def __init__(self, code: str, message: str, param: str | None = None) -> None:
        super().__init__(message)
        self.code, self.message, self.param = code, message, param


@dataclass(frozen=True, slots=True)
class Request:
    custom_id: str
    body: dict[str, Any]


def numbered(file: BinaryIO) -> Iterator[tuple[int, bytes | None]]:
    """Every line that is not blank, with its number from 1; None for one that is too long."""
    number = 0
    while raw := file.readline(LONGEST_LINE + 1):
        number += 1
        # Windows begins files with a mark.
        text = raw.removeprefix(codecs.BOM_UTF8) if number == 1 else raw
        if len(raw) > LONGEST_LINE:
            while raw and not raw.endswith(b"\n"):
                raw = file.readline(SKIPPED)
            yield number, None
        elif text.strip():
            yield number, text


def raw_requests(path: Path) -> Generator[bytes, None, None]:
    """The requests of a file that was found good, unread. To be closed: it has the file open."""
    with path.open("rb") as file:
        for _, text in numbered(file):
            assert text is not None
            yield text


def parsed(text: bytes) -> Request:
    """A line that was found good."""
    line = bodies.parse(text)
    return Request(line["custom_id"], line["body"])


def read(raw: bytes | None, endpoint: Endpoint) -> Request:
    """One line as a request; raises `BadLine`."""
    if raw is None:
        raise BadLine("line_too_long", f"longer than {LONGEST_LINE:,} bytes")
    try:
        line = bodies.parse(raw)
    except MalformedJson as error:
        raise BadLine("invalid_json_line", error.message) from None
    except InvalidInput as error:
        raise BadLine("invalid_request", error.message, error.param) from None
    custom_id, body = line.get("custom_id"), line.get("body")
    if not isinstance(custom_id, str) or not 1 <= len(custom_id) <= LONGEST_CUSTOM_ID:
        message = f"custom_id must be a string of 1 to {LONGEST_CUSTOM_ID} characters"
        raise BadLine("invalid_custom_id", message, "custom_id")
    if line.get("method") != "POST":
        raise BadLine("invalid_method", "method must be POST", "method")
    if line.get("url") != endpoint:
        message = f"url must be the batch's endpoint, {endpoint}"
        raise BadLine("mismatched_endpoint", message, "url")
    if not isinstance(body, dict):
        raise BadLine("invalid_body", "body must be an object", "body")
    if body.get("stream"):
        raise BadLine("stream_not_supported", "a batch cannot stream; leave it out", "body.stream")
    if line.keys() - FIELDS:
        known = ", ".join(sorted(FIELDS))
        raise BadLine("unknown_field", f"a field that is none of {known}; leave it out")
    return Request(custom_id, body)


class Check:
    """Checks a file bit by bit, so that nothing else has to wait for a long one."""

    def __init__(self, file: BinaryIO, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self._lines = numbered(file)
        self._ids: set[bytes] = set()
        """A short digest of each custom_id: of long ids a hundred thousand would be too much."""
        self._errors: list[LineError] = []
        self._bad = 0
        self.requests = 0

    def advance(self) -> bool:
        """Check some more lines; whether there may be others."""
        for _ in range(AT_ONCE):
            following = next(self._lines, None)
            if following is None or self.requests > MOST_LINES:
                return False
            self._take(*following)
        return True

    def errors(self) -> tuple[LineError, ...]:
        """What is wrong, once there is nothing more to check; empty for a good file."""
        if self.requests > MOST_LINES:
            message = f"more than {MOST_LINES:,} requests; split the file"
            return (LineError(code="too_many_requests", message=message),)
        if not self.requests:
            return (LineError(code="empty_file", message="the file has no requests"),)
        if unnamed := self._bad - len(self._errors):
            more = LineError(code="more_errors", message=f"and {unnamed} more bad line(s)")
            return (*self._errors, more)
        return tuple(self._errors)

    def _take(self, number: int, raw: bytes | None) -> None:
        self.requests += 1
        try:
            custom_id = read(raw, self._endpoint).custom_id
            digest = hashlib.blake2b(custom_id.encode(), digest_size=16).digest()
            if digest in self._ids:
                message = "custom_id was used on an earlier line"
                raise BadLine("duplicate_custom_id", message, "custom_id")
            self._ids.add(digest)
        except BadLine as bad:
            self._bad += 1
            if len(self._errors) < MOST_ERRORS:
                error = LineError(code=bad.code, message=bad.message, param=bad.param, line=number)
                self._errors.append(error)


@contextmanager
def check(path: Path, endpoint: Endpoint) -> Iterator[Check]:
    """The check of a file that is open for as long as it is checked."""
    with path.open("rb") as file:
        yield Check(file, endpoint)
