"""`anchors.jsonl` beside a rubric: fixed answers that reveal a change of the teacher."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from galen.errors import DataError, RecipeError
from galen.records import NonBlank, Record, read_jsonl

FILE = "anchors.jsonl"


class Anchor(Record):
    id: NonBlank = Field(max_length=200)
    prompt: NonBlank
    response: NonBlank


def load_anchors(folder: Path) -> tuple[Anchor, ...]:
    """The anchors in a rubric's folder, if any. Raises `RecipeError` for a bad file."""
    path = folder / FILE
    if not path.is_file():
        return ()
    try:
        anchors = read_jsonl(path, Anchor)
    except DataError as error:
        raise RecipeError(error.message) from None
    if len({anchor.id for anchor in anchors}) != len(anchors):
        raise RecipeError(f"{path}: two anchors share an id; give each its own")
    return tuple(anchors)
