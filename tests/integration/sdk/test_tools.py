"""Answers of a given form through the `openai` SDK: structured output and calls of tools."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.integration.sdk.clients import ASK, CALL_TOKENS, NO_THINKING, TOOL, Clients, Place

pytestmark = pytest.mark.engine

NAMED = {"type": "function", "function": {"name": "weather"}}


def test_structured_output_fits_its_schema(clients: Clients) -> None:
    """The SDK makes the schema of a class and an object of the answer."""
    answer = clients.openai.chat.completions.parse(
        model="policy",
        messages=ASK,
        response_format=Place,
        max_tokens=600,
        seed=1,
        extra_body=NO_THINKING,
    )
    place = answer.choices[0].message.parsed
    assert isinstance(place, Place)


@pytest.mark.parametrize("choice", [NAMED, "required"])
def test_a_forced_call_fits_its_schema(clients: Clients, choice: Any) -> None:
    """The tool that is named or the only one there is, called with what its schema allows."""
    forced = {"tools": [TOOL], "tool_choice": choice, "extra_body": NO_THINKING}
    answer = clients.chat(**forced, max_tokens=CALL_TOKENS, seed=1)
    calls = answer.choices[0].message.tool_calls
    assert calls
    for call in calls:
        assert call.function.name == "weather"
        assert json.loads(call.function.arguments)["city"] in ("a", "b")


def test_a_streamed_call_is_put_together_by_the_sdk(clients: Clients) -> None:
    """Its name and arguments come in pieces that make a call which fits the schema."""
    with clients.openai.chat.completions.stream(
        model="policy",
        messages=ASK,
        tools=[TOOL],
        tool_choice=NAMED,
        max_tokens=CALL_TOKENS,
        seed=1,
        extra_body=NO_THINKING,
    ) as stream:
        call = stream.get_final_completion().choices[0].message.tool_calls[0]
    assert call.function.name == "weather"
    assert json.loads(call.function.arguments)["city"] in ("a", "b")


def test_the_result_of_a_call_is_read(clients: Clients) -> None:
    """The model goes on after the turns of a call and its result; they are part of the prompt."""
    function = {"name": "weather", "arguments": '{"city": "a"}'}
    call = {"id": "call_1", "type": "function", "function": function}
    turns = [
        *ASK,
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "call_1", "content": "晴"},
    ]
    asked = clients.chat(tools=[TOOL], messages=ASK)
    answer = clients.chat(tools=[TOOL], messages=turns)
    assert answer.choices[0].finish_reason in ("length", "stop", "tool_calls")
    assert answer.usage.prompt_tokens > asked.usage.prompt_tokens + 20
