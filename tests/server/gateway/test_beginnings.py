"""When an engine surely works at all of a streamed request."""

from __future__ import annotations

import json
from typing import Any

import pytest

from server.gateway.beginnings import Beginnings

CHAT, COMPLETIONS, RESPONSES = "/v1/chat/completions", "/v1/completions", "/v1/responses"


def event(**body: Any) -> bytes:
    return b"data: " + json.dumps(body).encode() + b"\n\n"


def text(index: int, said: str = "a") -> bytes:
    return event(choices=[{"index": index, "text": said, "finish_reason": None}])


def delta(index: int, **said: Any) -> bytes:
    return event(choices=[{"index": index, "delta": said, "finish_reason": None}])


@pytest.mark.parametrize("path", [CHAT, COMPLETIONS, "/v1/messages"])
def test_of_one_sequence_the_first_event_shows_it(path: str) -> None:
    """The engine sends nothing before the first token."""
    assert Beginnings(path, 1).saw(delta(0, role="assistant", content=""))
    assert not Beginnings(path, 1).saw(b"")


def test_every_choice_must_have_a_token() -> None:
    """One after another, in any order, several in one piece; what begins once stays begun."""
    beginnings = Beginnings(COMPLETIONS, 3)
    assert not beginnings.saw(text(2) + text(2))
    assert not beginnings.saw(text(2) + text(0))
    assert not beginnings.saw(text(1, ""))
    assert beginnings.saw(text(0) + text(1))
    assert beginnings.saw(b"data: [DONE]\n\n")


def test_a_role_is_no_beginning() -> None:
    """vLLM tells the roles of all choices when the first of them begins."""
    beginnings = Beginnings(CHAT, 2)
    roles = [delta(index, role="assistant", content="") for index in (0, 1)]
    assert not beginnings.saw(b"".join(roles) + delta(0, reasoning="想"))
    assert beginnings.saw(delta(1, tool_calls=[{"index": 0}]))


def test_a_choice_that_ends_has_begun() -> None:
    """Even one that wrote nothing that can be shown."""
    beginnings = Beginnings(COMPLETIONS, 2)
    ended = event(choices=[{"index": 1, "text": "", "finish_reason": "stop"}])
    assert beginnings.saw(text(0) + ended)


def test_what_a_choice_writes_is_no_event() -> None:
    """A text that looks like another choice's beginning is a text."""
    said = 'x\n\ndata: {"choices":[{"index":1,"text":"a"}]}'
    assert not Beginnings(COMPLETIONS, 2).saw(text(0, said))


def test_other_events_are_no_beginning() -> None:
    """Usage, and whatever else has no choices."""
    assert not Beginnings(COMPLETIONS, 2).saw(event(choices=[], usage={}) + event(error={}))


def test_a_response_begins_with_its_first_delta() -> None:
    """vLLM announces a response before the engine has it in hand."""
    beginnings = Beginnings(RESPONSES, 1)
    announced = [event(type=f"response.{what}") for what in ("created", "in_progress")]
    assert not beginnings.saw(b"".join(announced))
    assert beginnings.saw(event(type="response.reasoning_text.delta", delta="a"))
