"""Further files of a rubric's folder: `anchors.jsonl`, fixed answers that reveal a change of the
teacher, and `criteria.jsonl`, what every answer is graded by."""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, Field, TypeAdapter, ValidationError

from galen.errors import DataError, RecipeError
from galen.records import Criteria, Criterion, NonBlank, Record, first_problem, read_jsonl

FILE = "anchors.jsonl"
CRITERIA = "criteria.jsonl"
_GRADABLE: TypeAdapter[tuple[Criterion, ...]] = TypeAdapter(Criteria)

R = TypeVar("R", bound=BaseModel)


class Anchor(Record):
    id: NonBlank = Field(max_length=200)
    prompt: NonBlank
    response: NonBlank


def load_anchors(folder: Path) -> tuple[Anchor, ...]:
    """The anchors in a rubric's folder, if any. Raises `RecipeError` for a bad file."""
    anchors = _read(folder / FILE, Anchor)
    if len({anchor.id for anchor in anchors}) != len(anchors):
        raise RecipeError(f"{folder / FILE}: two anchors share an id; give each its own")
    return tuple(anchors)


def load_criteria(folder: Path) -> tuple[Criterion, ...]:
    """The criteria in a rubric's folder, if any. Raises `RecipeError` for a bad file."""
    criteria = _read(folder / CRITERIA, Criterion)
    try:
        return _GRADABLE.validate_python(tuple(criteria)) if criteria else ()
    except ValidationError as error:
        raise RecipeError(f"{folder / CRITERIA}: {first_problem(error)}") from None


def _read(path: Path, model: type[R]) -> list[R]:
    if not path.is_file():
        return []
    try:
        return read_jsonl(path, model)
    except DataError as error:
        raise RecipeError(error.message) from None
