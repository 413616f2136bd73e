"""Refuses rows that can be read and cannot be meant. Every stage's reading uses it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from trainer.data.checking.marks import check_answer, is_blank, mark
from trainer.data.example import Example
from trainer.data.problems import BadRow

NOT_A_NUMBER = ("nan", "NaN")
"""What tables write for an empty cell."""
NAMES = {"system": "system", "user": "question", "assistant": "answer"}


def check(example: Example) -> None:
    """Raises `BadRow`, which names the field, the reason and what to do."""
    _check_order(example)
    for field, text, is_answer in texts(example):
        _check_text(field, text, is_answer=is_answer)
    if example.kind == "preference":
        _check_pair(example)


def texts(example: Example) -> Iterator[tuple[str, str | None, bool]]:
    """Every text with the name of its place, and whether the assistant wrote it.

    An empty system message is left out: it has a meaning of its own in some templates.
    """
    if example.kind == "document":
        yield "text", example.text, False
    roles = Counter(message.role for message in example.messages)
    for number, message in enumerate(example.messages, start=1):
        is_only = roles[message.role] == 1
        if message.role != "system" or message.content:
            name = NAMES[message.role] if is_only else f"turn {number}"
            yield name, message.content, message.role == "assistant"
    if example.kind == "preference":
        yield "chosen", example.chosen, True
        yield "rejected", example.rejected, True
    if example.kind == "unpaired":
        yield "completion", example.completion, True


def _check_text(field: str, text: str | None, *, is_answer: bool) -> None:
    if not isinstance(text, str):
        raise BadRow(field, "is missing or no text", "write it as a text, or delete the row")
    if is_blank(text):
        raise BadRow(field, "is empty", "fill it in, or delete the row")
    if text in NOT_A_NUMBER:
        raise BadRow(field, "is NaN, a table's empty cell", "fill it in, or delete the row")
    if found := mark(text, is_answer=is_answer):
        what = "a next turn" if is_answer else "a template's mark"
        raise BadRow(
            field,
            f"holds {found[0].strip()!r}, {what} inside the text",
            "delete it and what follows",
        )
    if is_answer:
        check_answer(field, text)


def _check_order(example: Example) -> None:
    if example.kind == "document":
        return
    first = 1 if example.messages and example.messages[0].role == "system" else 0
    turns = example.messages[first:]
    if not turns:
        raise BadRow("question", "is missing", "add the user's turn, or delete the row")
    ends_with_answer = example.kind == "conversation"
    for index, turn in enumerate(turns):
        expected = "assistant" if index % 2 else "user"
        if turn.role != expected:
            raise BadRow(
                f"turn {index + first + 1}",
                f"is the {turn.role}'s, expected the {expected}'s",
                "user and assistant take turns, after at most one system message",
            )
    if turns[-1].role == "assistant" and not ends_with_answer:
        raise BadRow("question", "is missing", "end the prompt with the user's turn")


def _check_pair(example: Example) -> None:
    better, worse = str(example.chosen), str(example.rejected)
    if better.strip() == worse.strip():
        raise BadRow("rejected", "is the same as chosen", "delete the row")
