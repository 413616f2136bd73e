"""What the judge is told of a question: all turns of its conversation."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from galen.records import PromptRow, storable
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
