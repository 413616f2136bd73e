"""Anthropic's messages, translated to chat and back."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

ASK = {"messages": [{"role": "user", "content": "头痛"}], "max_tokens": 12, "temperature": 0}
QUIET = {**ASK, "thinking": {"type": "disabled"}}
SCHEMA = {
    "type": "object",
    "properties": {"word": {"enum": ["头痛", "发热"]}},
    "required": ["word"],
    "additionalProperties": False,
}
TOOLS = {
    "tools": [{"name": "look_up", "description": "Looks up", "input_schema": SCHEMA}],
    "tool_choice": {"type": "tool", "name": "look_up"},
    "max_tokens": 100,
}


async def post(http: httpx.AsyncClient, body: dict[str, Any], path: str = "") -> dict[str, Any]:
    answer = await http.post(f"/v1/messages{path}", json=body)
    assert answer.status_code == 200, answer.text
    told: dict[str, Any] = answer.json()
    return told


async def events(http: httpx.AsyncClient, body: dict[str, Any]) -> list[dict[str, Any]]:
    """The events of a stream, whose names are those of their data."""
    async with http.stream("POST", "/v1/messages", json={**body, "stream": True}) as answer:
        raw = (await answer.aread()).decode()
    told = []
    for event in raw.strip().split("\n\n"):
        name, data = event.split("\n")
        told.append(json.loads(data.removeprefix("data: ")))
        assert name == f"event: {told[-1]['type']}"
    return told


def put_together(told: list[dict[str, Any]]) -> dict[str, Any]:
    """The message that a client makes of its events."""
    message: dict[str, Any] = told[0]["message"]
    for event in told[1:]:
        match event:
            case {"type": "content_block_start", "index": index, "content_block": block}:
                assert index == len(message["content"])
                message["content"].append(block)
            case {"type": "content_block_delta", "index": index, "delta": delta}:
                block = message["content"][index]
                if delta["type"] == "input_json_delta":
                    block["input"] = json.loads(delta["partial_json"])
                else:
                    block[block["type"]] += delta[block["type"]]
            case {"type": "message_delta", "delta": delta, "usage": usage}:
                message |= delta
                message["usage"] |= usage
    return message


@pytest.mark.parametrize("body", [ASK, QUIET, {**QUIET, **TOOLS}])
async def test_a_stream_makes_the_whole_message(
    http: httpx.AsyncClient, body: dict[str, Any]
) -> None:
    """Thought, text or call, why it ended, and what it cost; each block is closed once."""
    whole = await post(http, body)
    told = await events(http, body)
    streamed = put_together(told)
    for message in (whole, streamed):
        message.pop("id")
        for block in message["content"]:
            block.pop("id", None)
    assert streamed == whole
    kinds = [event["type"] for event in told]
    assert kinds.count("content_block_stop") == kinds.count("content_block_start")
    assert kinds[-2:] == ["message_delta", "message_stop"]


async def test_what_was_asked_for_is_what_comes(http: httpx.AsyncClient) -> None:
    """A thought where thinking is on, text where it is off, a call where one was forced."""
    kinds, reasons = [], []
    for body in (ASK, QUIET, {**QUIET, **TOOLS}):
        message = await post(http, body)
        kinds.append([block["type"] for block in message["content"]])
        reasons.append(message["stop_reason"])
    assert kinds == [["thinking"], ["text"], ["tool_use"]]
    assert reasons == ["max_tokens", "max_tokens", "tool_use"]


async def test_a_conversation_means_what_it_means_in_chat(http: httpx.AsyncClient) -> None:
    """System prompt, calls and their results reach the template as chat's would."""
    call = {"id": "c1", "type": "tool_use", "name": "look_up", "input": {"word": "头痛"}}
    result = {"type": "tool_result", "tool_use_id": "c1", "content": "见内科"}
    theirs = {
        "system": [{"type": "text", "text": "你是医生"}],
        "messages": [
            {"role": "user", "content": [{"type": "text", "text": "头痛"}]},
            {"role": "assistant", "content": [{"type": "text", "text": "查"}, call]},
            {"role": "user", "content": [result]},
        ],
        "tools": TOOLS["tools"],
    }
    function = {"name": "look_up", "arguments": '{"word": "头痛"}'}
    parameters = {"name": "look_up", "parameters": SCHEMA, "description": "Looks up"}
    ours = {
        "messages": [
            {"role": "system", "content": "你是医生"},
            {"role": "user", "content": "头痛"},
            {
                "role": "assistant",
                "content": "查",
                "tool_calls": [{"id": "c1", "type": "function", "function": function}],
            },
            {"role": "tool", "tool_call_id": "c1", "content": "见内科"},
        ],
        "tools": [{"type": "function", "function": parameters}],
    }
    counted = await post(http, theirs, "/count_tokens")
    tokens = (await http.post("/tokenize", json=ours)).json()
    assert counted == {"input_tokens": tokens["count"]}


async def test_a_stop_sequence_is_named(http: httpx.AsyncClient) -> None:
    """With their word for it."""
    text = (await post(http, QUIET))["content"][0]["text"]
    stop = text[-1]
    message = await post(http, {**QUIET, "stop_sequences": [stop]})
    assert (message["stop_reason"], message["stop_sequence"]) == ("stop_sequence", stop)
