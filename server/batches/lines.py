"""The lines of a batch's input file: one request each, checked before any is sent."""

from __future__ import annotations

import asyncio
import codecs
from collections.abc import Generator
from contextlib import closing
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError

from galen.errors import GalenError, InvalidInput
from galen.records import first_problem
from server.batches.schemas import Endpoint, LineError
from server.gateway.request import parse
from server.schemas import Wire

MOST_LINES = 100_000
LONGEST_LINE = 8 * 1024 * 1024
"""Bytes."""
MOST_ERRORS = 100
"""Bad lines that are reported one by one; the others are counted."""


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
                rest = file.readline(64 * 1024)
            if line.strip():
                yield number, line


def parsed(line: bytes, endpoint: Endpoint) -> LineRequest:
    """One line as a request. Raises `InvalidInput` or `MalformedJson`; neither quotes the line."""
    if len(line) > LONGEST_LINE:
        raise InvalidInput(f"the line is longer than {LONGEST_LINE:,} bytes")
    try:
        request = LineRequest.model_validate(parse(line))
    except ValidationError as error:
        field, _, problem = first_problem(error).partition(": ")
        if field not in LineRequest.model_fields:
            known = ", ".join(LineRequest.model_fields)
            raise InvalidInput(f"a field that is none of {known}; leave it out") from None
        raise InvalidInput(f"{field}: {problem}", param=field) from None
    if request.url != endpoint:
        raise InvalidInput(f"url must be the batch's endpoint, {endpoint}", param="url")
    if request.body.get("stream"):
        raise InvalidInput("a batch cannot stream; leave stream out", param="body.stream")
    return request


async def check(
    path: Path, endpoint: Endpoint, most_lines: int = MOST_LINES
) -> tuple[int, list[LineError]]:
    """How many requests a file has, and what is wrong with it. Others have their turn after each
    line."""
    seen: set[int] = set()  # Hashes: a hundred thousand long ids would take too much memory.
    errors: list[LineError] = []
    total = bad = 0
    with closing(numbered(path)) as lines:
        for number, line in lines:
            await asyncio.sleep(0)
            total += 1
            if total > most_lines:
                message = f"more than {most_lines:,} requests; split the file"
                return total, [LineError(code="too_many_requests", message=message)]
            try:
                custom_id = hash(parsed(line, endpoint).custom_id)
                if custom_id in seen:
                    raise InvalidInput("custom_id was used on an earlier line", param="custom_id")
                seen.add(custom_id)
            except GalenError as error:
                bad += 1
                if bad <= MOST_ERRORS:
                    code, message, param = error.code, error.message, error.param
                    errors.append(LineError(code=code, message=message, param=param, line=number))
    if not total:
        errors.append(LineError(code="empty_file", message="the file has no requests"))
    if bad > MOST_ERRORS:
        message = f"and {bad - MOST_ERRORS} more bad line(s)"
        errors.append(LineError(code="more_errors", message=message))
    return total, errors
