"""The lines of a batch's input file: one request each, checked before any is sent."""

from __future__ import annotations

import asyncio
import codecs
from collections.abc import Generator
from contextlib import closing
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError

from galen.errors import InvalidInput, MalformedJson
from galen.records import first_problem
from server.batches.schemas import Endpoint, LineError
from server.gateway import body as bodies
from server.schemas import Wire

MOST_LINES = 100_000
"""Requests in one batch."""
LONGEST_LINE = 8 * 1024 * 1024
"""Bytes."""
SKIPPED = 64 * 1024
"""Bytes that are read at a time of the rest of a longer line."""
MOST_ERRORS = 100
"""Bad lines that are reported one by one; the others are counted."""


class BadLine(Exception):
    """A line that is no request, by code, message and field. The message quotes nothing of it."""


class LineRequest(Wire):
    custom_id: Annotated[str, Field(min_length=1, max_length=512)]
    method: Literal["POST"]
    url: Endpoint
    body: dict[str, Any]


def numbered(path: Path) -> Generator[tuple[int, bytes], None, None]:
    """Every line that is not blank, with its number from 1. A line that is too long is cut off.

    The file stays open until the generator ends or is closed.
    """
    with path.open("rb") as file:
        if file.read(len(codecs.BOM_UTF8)) != codecs.BOM_UTF8:  # Windows begins files with it.
            file.seek(0)
        number = 0
        while line := file.readline(LONGEST_LINE + 1):
            number += 1
            rest = line if len(line) > LONGEST_LINE else b""
            while rest and not rest.endswith(b"\n"):
                rest = file.readline(SKIPPED)
            if line.strip():
                yield number, line


def parsed(line: bytes, endpoint: Endpoint) -> LineRequest:
    """One line as a request; raises `BadLine`."""
    if len(line) > LONGEST_LINE:
        raise BadLine("line_too_long", f"longer than {LONGEST_LINE:,} bytes", None)
    try:
        request = LineRequest.model_validate(bodies.parse(line))
    except MalformedJson as error:
        raise BadLine("invalid_json_line", error.message, None) from None
    except InvalidInput as error:
        raise BadLine("invalid_request", error.message, error.param) from None
    except ValidationError as error:
        field, _, problem = first_problem(error).partition(": ")
        if field not in LineRequest.model_fields:
            message = f"a field that is none of {', '.join(LineRequest.model_fields)}; leave it out"
            raise BadLine("unknown_field", message, None) from None
        raise BadLine(f"invalid_{field}", f"{field}: {problem}", field) from None
    if request.url != endpoint:
        raise BadLine("invalid_url", f"url must be the batch's endpoint, {endpoint}", "url")
    if request.body.get("stream"):
        message = "a batch cannot stream; leave it out"
        raise BadLine("stream_not_supported", message, "body.stream")
    return request


async def check(
    path: Path, endpoint: Endpoint, most_lines: int = MOST_LINES
) -> tuple[int, list[LineError]]:
    """How many requests a file has, and what is wrong with it."""
    seen: set[int] = set()  # Hashes: a hundred thousand long ids would take too much memory.
    errors: list[LineError] = []
    total = bad = 0
    with closing(numbered(path)) as lines:
        for number, line in lines:
            await asyncio.sleep(0)  # Others have their turn after each line.
            total += 1
            if total > most_lines:
                message = f"more than {most_lines:,} requests; split the file"
                return total, [LineError(code="too_many_requests", message=message)]
            try:
                custom_id = hash(parsed(line, endpoint).custom_id)
                if custom_id in seen:
                    message = "custom_id was used on an earlier line"
                    raise BadLine("duplicate_custom_id", message, "custom_id")
                seen.add(custom_id)
            except BadLine as problem:
                code, message, param = problem.args
                bad += 1
                if bad <= MOST_ERRORS:
                    errors.append(LineError(code=code, message=message, param=param, line=number))
    if not total:
        errors.append(LineError(code="empty_file", message="the file has no requests"))
    if bad > MOST_ERRORS:
        message = f"and {bad - MOST_ERRORS} more bad line(s)"
        errors.append(LineError(code="more_errors", message=message))
    return total, errors
