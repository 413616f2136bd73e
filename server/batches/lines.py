"""The lines of a batch's input file: one request each, checked before any is sent."""

from __future__ import annotations

import asyncio
import codecs
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, Field, ValidationError

from galen.errors import GalenError, InvalidInput
from galen.records import first_problem
from server.batches.schemas import Endpoint, LineError
from server.gateway.request import parse

M = TypeVar("M", bound=BaseModel)

MOST_LINES = 100_000
LONGEST_LINE = 8 * 1024 * 1024
"""Bytes."""
MOST_ERRORS = 100
"""Bad lines that are reported."""


class LineRequest(BaseModel):
    custom_id: Annotated[str, Field(min_length=1, max_length=512, strict=True)]
    method: Literal["POST"]
    url: Endpoint
    body: dict[str, Any]


def numbered(path: Path) -> Iterator[tuple[int, bytes]]:
    """Every line that is not blank, with its number from 1; one that is too long is the last."""
    with path.open("rb") as file:
        if file.read(len(codecs.BOM_UTF8)) != codecs.BOM_UTF8:  # Windows begins files with it.
            file.seek(0)
        number = 0
        while line := file.readline(LONGEST_LINE + 1):
            number += 1
            if line.strip():
                yield number, line
            if len(line) > LONGEST_LINE:
                return


def validated(model: type[M], raw: bytes) -> M:
    """JSON as a model. Raises `InvalidInput` or `MalformedJson`; neither quotes it."""
    try:
        return model.model_validate(parse(raw))
    except ValidationError as error:
        problem = first_problem(error)
        raise InvalidInput(problem, param=problem.partition(": ")[0]) from None


def parsed(line: bytes, endpoint: Endpoint) -> LineRequest:
    """One line as a request. Raises as `validated` does."""
    if len(line) > LONGEST_LINE:
        raise InvalidInput(f"the line is longer than {LONGEST_LINE:,} bytes")
    request = validated(LineRequest, line)
    if request.url != endpoint:
        raise InvalidInput(f"url must be the batch's endpoint, {endpoint}", param="url")
    if request.body.get("stream"):
        raise InvalidInput("a batch cannot stream; leave stream out", param="body.stream")
    return request


async def check(path: Path, endpoint: Endpoint) -> tuple[int, list[LineError]]:
    """How many requests a file has, and its first errors. Yields to other tasks after each line."""
    seen: set[int] = set()  # Hashes: a hundred thousand long ids would take too much memory.
    errors: list[LineError] = []
    total = 0
    for number, line in numbered(path):
        await asyncio.sleep(0)
        total += 1
        if total > MOST_LINES:
            message = f"more than {MOST_LINES:,} requests; split the file"
            return total, [LineError(code="too_many_requests", message=message)]
        try:
            custom_id = hash(parsed(line, endpoint).custom_id)
            if custom_id in seen:
                raise InvalidInput("custom_id was used on an earlier line", param="custom_id")
            seen.add(custom_id)
        except GalenError as error:
            code, message, param = error.code, error.message, error.param
            errors.append(LineError(code=code, message=message, param=param, line=number))
            if len(errors) == MOST_ERRORS:
                break
    if not total:
        errors.append(LineError(code="empty_file", message="the file has no requests"))
    return total, errors
