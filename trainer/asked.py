"""What the judge is told of a question: all turns of its conversation, and its criteria."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from pydantic import TypeAdapter, ValidationError

from galen.records import Criteria, PromptRow, first_problem, storable
from judge.schemas import Message as Turn
from trainer.data.example import Message
from trainer.data.problems import BadRow


def as_asked(messages: Iterable[Message]) -> tuple[Turn, ...]:
    """The turns as the judge takes them; one without a text says nothing and is left out.

    Raises `BadRow` if no question is left at the end.
    """
    turns = tuple(
        Turn(role=each.role, content=storable(each.content))
        for each in messages
        if each.content.strip()
    )
    if not turns or turns[-1].role != "user":
        raise BadRow("", "does not end with a question", "end the row with the user's turn")
    return turns


def turns_of(row: PromptRow) -> Iterator[Message]:
    """The conversation of a row, without its system message."""
    for asked, answered in row.history:
        yield Message("user", asked)
        yield Message("assistant", answered)
    yield Message("user", row.input)


_CRITERIA: TypeAdapter[Criteria] = TypeAdapter(Criteria)


def criteria_of(extra: Mapping[str, Any]) -> Criteria | None:
    """A row's criteria, in our form (`criteria` of `text` and `points`) or in HealthBench's
    (`rubrics` of `criterion` and `points`); None if it brings none. Raises `BadRow`."""
    field = "criteria" if extra.get("criteria") is not None else "rubrics"
    value = extra.get(field)
    if value is None:
        return None
    if field == "rubrics" and isinstance(value, list):
        value = [
            {"text": each.get("criterion"), "points": each.get("points")}
            if isinstance(each, Mapping)
            else each
            for each in value
        ]
    try:
        return _CRITERIA.validate_python(value)
    except ValidationError as error:
        where, _, reason = first_problem(error).partition(": ")
        place = f"{field}.{where}" if where != "(whole record)" else field
        raise BadRow(place, reason, "write [{text, points}, …]") from None
