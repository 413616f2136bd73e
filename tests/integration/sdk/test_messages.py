"""Anthropic's API, `/v1/messages`, through the `anthropic` SDK."""

from __future__ import annotations

from typing import Any

import pytest

from tests.integration.sdk.clients import ASK, CALL_TOKENS, THEIR_TOOL, Clients

pytestmark = pytest.mark.engine


def test_a_message_names_its_version_and_its_request(clients: Clients) -> None:
    """Anthropic's API: content blocks, usage, the reason of the end."""
    answer = clients.message(extra_headers={"X-Request-Id": "my-request-8"})
    assert (answer.type, answer.role, answer.model) == ("message", "assistant", "policy@base")
    assert answer._request_id == "my-request-8"
    assert [block.type for block in answer.content] == ["text"]
    assert (answer.stop_reason, answer.usage.output_tokens) == ("max_tokens", 8)
    raw = clients.anthropic.messages.with_raw_response.create(
        model="policy", messages=ASK, max_tokens=1
    )
    assert raw.headers["X-Policy-Version"] == "base"


def test_a_messages_reasoning_is_a_block_of_thinking(clients: Clients) -> None:
    """Where thinking is not switched off it comes before anything else."""
    asked: dict[str, Any] = {"model": "policy", "messages": ASK, "max_tokens": 60}
    # Drawn at random, one thought of the toy may end before it has a word.
    firsts = [clients.anthropic.messages.create(**asked).content[0] for _ in range(3)]
    assert any(block.type == "thinking" and block.thinking for block in firsts)


def test_a_streamed_message_is_the_same_in_pieces(clients: Clients) -> None:
    """The SDK puts it together from its events: text, version, usage and the reason of the end."""
    whole = clients.message(max_tokens=16)
    with clients.anthropic.messages.stream(
        model="policy",
        messages=ASK,
        max_tokens=16,
        thinking={"type": "disabled"},
        extra_body={"temperature": 0},
    ) as stream:
        said = "".join(stream.text_stream)
        message = stream.get_final_message()
    assert said == message.content[0].text == whole.content[0].text
    assert (message.model, message.stop_reason) == (whole.model, whole.stop_reason)
    assert message.usage.output_tokens == whole.usage.output_tokens


def test_tokens_are_counted_before_they_are_spent(clients: Clients) -> None:
    """As many as the message itself then says it read."""
    thinking = {"type": "disabled"}
    counted = clients.anthropic.messages.count_tokens(
        model="policy", messages=ASK, thinking=thinking
    )
    assert counted.input_tokens == clients.message().usage.input_tokens


def test_a_message_calls_a_tool_and_reads_its_result(clients: Clients) -> None:
    """A forced call has an input that fits its schema, and may be answered in the next turn."""
    forced = {"tools": [THEIR_TOOL], "tool_choice": {"type": "tool", "name": "weather"}}
    # Drawn, not the likeliest: between two words of JSON that may be blanks without end.
    answer = clients.message(**forced, max_tokens=CALL_TOKENS, extra_body=None)
    block = answer.content[-1]
    assert (block.type, block.name, answer.stop_reason) == ("tool_use", "weather", "tool_use")
    assert block.input["city"] in ("a", "b")
    result = {"type": "tool_result", "tool_use_id": block.id, "content": "晴"}
    turns = [
        *ASK,
        {"role": "assistant", "content": [block.model_dump()]},
        {"role": "user", "content": [result]},
    ]
    after = clients.message(tools=[THEIR_TOOL], messages=turns)
    assert after.usage.input_tokens > answer.usage.input_tokens
