"""Rows of data on disk, and the one reader for JSON lines.

A bad file is refused whole: every bad line is named with its number, the field and the reason.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Literal, TypeVar

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from galen.errors import DataError, InvalidInput

Risk = Literal["low", "medium", "high", "critical"]


def _storable(text: str) -> str:
    if "\x00" in text:
        raise ValueError("contains a NUL character; remove it")
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        raise ValueError("contains a lone surrogate, which is no character; remove it") from None
    return text


CleanText = Annotated[str, AfterValidator(_storable)]
"""Text that every database can store: no NUL, no lone surrogate."""


def storable(text: str) -> str:
    """A model's text as `CleanText`: what no database can hold becomes the replacement mark."""
    return re.sub("[\x00\ud800-\udfff]", "\ufffd", text)


NonBlank = Annotated[
    str,
    Field(min_length=1, pattern=r"[^\s\x85\ufeff\x1c-\x1f]"),
    BeforeValidator(lambda value: _storable(value) if isinstance(value, str) else value),
]
"""`CleanText` that is not blank. Dialects of patterns differ in what is white space, so the pattern
lists what only some of them count, and all readers of a JSON schema agree."""


class Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Meta(Record):
    """What is known about a row besides its text."""

    source: NonBlank
    risk_level: Risk
    specialty: NonBlank
    complexity: int = Field(ge=1, le=3)
    lang_style: NonBlank
    is_deidentified: bool
    category: str | None = None
    """Which kind of danger or look-alike a test row stands for."""
    safety_concern: str | None = None
    """What a bad answer to a red-team row would do."""
    faults: tuple[str, ...] = ()
    """Faults that this row's output carries on purpose, for RL to cure; empty for a sound row."""


class Row(Record):
    """A supervised example: `output` is `<think>…</think>` and the answer."""

    instruction: CleanText = ""
    """The system message."""
    history: tuple[tuple[CleanText, CleanText], ...] = ()
    """Earlier questions and answers."""
    input: NonBlank
    output: NonBlank
    meta: Meta


MOST_CRITERIA = 64
"""Criteria of one question; HealthBench has at most 48."""


class Criterion(Record):
    text: NonBlank = Field(max_length=2000)
    points: float = Field(ge=-1000, le=1000, allow_inf_nan=False, strict=True)
    """Below 0 for something that an answer must not do."""


def _gradable(criteria: tuple[Criterion, ...]) -> tuple[Criterion, ...]:
    places: dict[str, int] = {}
    for place, one in enumerate(criteria):
        if one.points == 0:
            raise ValueError(f"criterion {place} has 0 points, so it decides nothing")
        first = places.setdefault(one.text.strip(), place)
        if first != place:
            raise ValueError(f"criteria {first} and {place} have the same text")
    if not any(one.points > 0 for one in criteria):
        raise ValueError("no criterion has points above 0: add what a good answer must do")
    return criteria


Criteria = Annotated[
    tuple[Criterion, ...], Field(min_length=1, max_length=MOST_CRITERIA), AfterValidator(_gradable)
]


class PromptRow(Record):
    """A question to be answered by a policy; `gold` is an answer that must not be flagged."""

    id: NonBlank
    instruction: CleanText = ""
    history: tuple[tuple[CleanText, CleanText], ...] = ()
    input: NonBlank
    gold: NonBlank | None = None
    criteria: Criteria | None = None
    """What an answer is graded by, under a rubric that grades criteria."""
    meta: Meta


R = TypeVar("R", bound=BaseModel)
T = TypeVar("T")


def first_problem(error: ValidationError) -> str:
    """`field: reason` of a pydantic error's first entry, without the offending value."""
    entry = error.errors(include_url=False, include_input=False, include_context=False)[0]
    where = ".".join(str(part) for part in entry["loc"]) or "(whole record)"
    return f"{where}: {entry['msg']}"


def read_jsonl(path: Path, model: type[R]) -> list[R]:
    """Every row of a JSON-lines file; blank lines are skipped.

    Raises `DataError`, which names each bad line, and `InvalidInput` for a file it cannot read.
    """

    def row(number: int, line: bytes) -> R:
        encoding = "utf-8-sig" if number == 1 else "utf-8"  # Windows begins files with a mark.
        return model.model_validate(json.loads(line.decode(encoding)))

    return _read(path, row)


def read_text_lines(path: Path) -> list[str]:
    """Every line of a text file that is not blank, without the white space around it.

    Raises `DataError`, which names each bad line, and `InvalidInput` for a path that is none.
    """
    return _read(path, lambda _, line: _storable(line.decode("utf-8-sig")).strip())


def _read(path: Path, parse: Callable[[int, bytes], T]) -> list[T]:
    found: list[T] = []
    problems: list[str] = []
    for number, line in _lines(path):
        try:
            found.append(parse(number, line))
        except UnicodeDecodeError as error:
            problems.append(f"line {number}: not UTF-8 at byte {error.start}")
        except json.JSONDecodeError as error:
            problems.append(f"line {number}: not JSON: {error.msg} at column {error.colno}")
        except ValidationError as error:
            problems.append(f"line {number}: {first_problem(error)}")
        except RecursionError:
            problems.append(f"line {number}: JSON nested too deeply")
        except ValueError as error:  # Python refuses to read an integer of thousands of digits
            too_long = "digits" in str(error)
            reason = "holds a number that is too long" if too_long else str(error)
            problems.append(f"line {number}: {reason}")
    if problems or not found:
        raise DataError(path, problems or ["the file has no rows"])
    return found


def _lines(path: Path) -> Iterator[tuple[int, bytes]]:
    try:
        with path.open("rb") as file:
            for number, line in enumerate(file, start=1):
                if line.strip():
                    yield number, line
    except FileNotFoundError:
        raise InvalidInput(f"{path}: no such file; check the path") from None
    except IsADirectoryError:
        raise InvalidInput(f"{path}: a folder; name a file in it") from None
    except OSError as error:
        raise InvalidInput(f"{path}: cannot be read: {error.strerror}; check the path") from None
