"""Errors say what an HTTP answer needs, in the shape OpenAI's clients read."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from galen.errors import DataError, GalenError, InvalidInput, Overloaded, Unavailable


def kinds(base: type[GalenError] = GalenError) -> Iterator[type[GalenError]]:
    """`base` and all that derive from it, in Galen's own error module."""
    yield base
    for kind in base.__subclasses__():
        if kind.__module__ == "galen.errors":
            yield from kinds(kind)


def test_the_body_has_openais_shape() -> None:
    """Message, type, param and code stand under `error`."""
    assert InvalidInput("too long", param="messages").body() == {
        "error": {
            "message": "too long",
            "type": "invalid_request_error",
            "param": "messages",
            "code": "invalid_request",
        }
    }


@pytest.mark.parametrize("kind", [k for k in kinds() if k is not DataError])
def test_the_type_says_whose_fault_it_is(kind: type[GalenError]) -> None:
    """From status 500 on it is the server's fault, below that the caller's."""
    expected = "server_error" if kind.status >= 500 else "invalid_request_error"
    assert kind("what").body()["error"]["type"] == expected


def test_only_passing_troubles_are_retryable() -> None:
    """Exactly overload, absence and lateness may be tried again."""
    expected = {"overloaded", "unavailable", "deadline_exceeded"}
    assert {kind.code for kind in kinds() if kind.retryable} == expected


@pytest.mark.parametrize("kind", [Overloaded, Unavailable])
def test_an_error_carries_when_to_come_back(kind: type[GalenError]) -> None:
    """`retry_after_s` travels with the error."""
    assert kind("busy", retry_after_s=2.5).retry_after_s == 2.5


@pytest.mark.parametrize(("bad", "lines"), [(1, 2), (20, 21), (21, 22), (500, 22)])
def test_a_data_error_shows_twenty_lines(bad: int, lines: int) -> None:
    """A long list of bad lines is cut in the message, and whole in `problems`."""
    problems = [f"line {number}: bad" for number in range(1, bad + 1)]
    error = DataError(Path("rows.jsonl"), problems)
    assert len(error.message.splitlines()) == lines
    assert error.message.startswith(f"rows.jsonl: {bad} bad line(s)\n  line 1: bad")
    assert ("more" in error.message) == (bad > 20)
    assert error.problems == tuple(problems)


def test_a_cut_message_says_how_much_is_missing() -> None:
    """The count of what is not shown ends the message."""
    error = DataError(Path("rows.jsonl"), ["bad"] * 23)
    assert error.message.splitlines()[-1] == "  … and 3 more"
