"""OpenAI's responses, translated to chat and back; the real SDK reads every event."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest
from openai.types.responses import Response, ResponseStreamEvent
from pydantic import TypeAdapter

NO_THINKING = {"chat_template_kwargs": {"enable_thinking": False}}
ASK = {"input": "头痛", "max_output_tokens": 12, "temperature": 0}
SCHEMA = {
    "type": "object",
    "properties": {"word": {"enum": ["头痛", "发热"]}},
    "required": ["word"],
    "additionalProperties": False,
}
TOOL = {"type": "function", "name": "look_up", "parameters": SCHEMA}
CALL = {
    **ASK,
    **NO_THINKING,
    "tools": [TOOL],
    "tool_choice": {"type": "function", "name": "look_up"},
    "max_output_tokens": 100,
}


async def post(http: httpx.AsyncClient, body: dict[str, Any]) -> dict[str, Any]:
    answer = await http.post("/v1/responses", json=body)
    assert answer.status_code == 200, answer.text
    told: dict[str, Any] = answer.json()
    Response.model_validate(told)
    return told


async def events(http: httpx.AsyncClient, body: dict[str, Any]) -> list[dict[str, Any]]:
    """The events of a stream, each of which is one that the SDK knows."""
    async with http.stream("POST", "/v1/responses", json={**body, "stream": True}) as answer:
        raw = (await answer.aread()).decode()
    told: list[dict[str, Any]] = []
    for event in raw.strip().split("\n\n"):
        name, data = event.split("\n")
        told.append(json.loads(data.removeprefix("data: ")))
        assert name == f"event: {told[-1]['type']}"
        TypeAdapter[Any](ResponseStreamEvent).validate_python(told[-1])
    return told


def without_ids(output: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{k: v for k, v in item.items() if k not in ("id", "call_id")} for item in output]


@pytest.mark.parametrize("body", [ASK, {**ASK, **NO_THINKING}, CALL])
async def test_a_stream_makes_the_whole_response(
    http: httpx.AsyncClient, body: dict[str, Any]
) -> None:
    """Its pieces are the text, every item that is begun is ended, and the last event holds all."""
    whole = await post(http, body)
    told = await events(http, body)
    assert [event["sequence_number"] for event in told] == list(range(len(told)))
    assert told[0]["type"] == "response.created"
    assert told[0]["response"]["output"] == []
    last = told[-1]["response"]
    assert told[-1]["type"] == "response.completed"
    assert without_ids(last["output"]) == without_ids(whole["output"])
    assert last["usage"] == whole["usage"]
    assert last["status"] == whole["status"]
    kinds = [event["type"].removeprefix("response.") for event in told]
    assert kinds.count("output_item.added") == kinds.count("output_item.done")
    for kind in ("output_text", "reasoning_text"):
        said = "".join(e["delta"] for e in told if e["type"] == f"response.{kind}.delta")
        parts = [part for item in whole["output"] for part in item.get("content", ())]
        assert said == "".join(part["text"] for part in parts if part["type"] == kind)
    done = [event["item"] for event in told if event["type"] == "response.output_item.done"]
    assert done == last["output"]


async def test_what_was_asked_for_is_what_comes(http: httpx.AsyncClient) -> None:
    """A thought where thinking is on, text where it is off, a call where one was forced."""
    told = [await post(http, body) for body in (ASK, {**ASK, **NO_THINKING}, CALL)]
    kinds = [[item["type"] for item in response["output"]] for response in told]
    assert kinds == [["reasoning"], ["message"], ["function_call"]]
    assert [response["status"] for response in told] == ["incomplete", "incomplete", "completed"]
    arguments = json.loads(told[2]["output"][0]["arguments"])
    assert arguments["word"] in ("头痛", "发热")


async def test_an_answer_follows_the_asked_format(http: httpx.AsyncClient) -> None:
    """`text.format`, and `reasoning.effort` none for no thought."""
    shape = {"format": {"type": "json_schema", "name": "x", "schema": SCHEMA}}
    body = {**ASK, "reasoning": {"effort": "none"}, "text": shape, "max_output_tokens": 100}
    response = await post(http, body)
    assert json.loads(response["output"][0]["content"][0]["text"])["word"] in ("头痛", "发热")


async def test_a_conversation_means_what_it_means_in_chat(http: httpx.AsyncClient) -> None:
    """Instructions, earlier items, calls and their results reach the template as chat's would."""
    function = {"name": "look_up", "arguments": '{"word": "头痛"}'}
    theirs = {
        "instructions": "你是医生",
        "input": [
            {"role": "user", "content": [{"type": "input_text", "text": "头痛"}]},
            {"type": "reasoning", "content": [{"type": "reasoning_text", "text": "想"}]},
            {"type": "function_call", "call_id": "c1", **function},
            {"type": "function_call_output", "call_id": "c1", "output": "见内科"},
        ],
        "max_output_tokens": 1,
    }
    ours = {
        "messages": [
            {"role": "system", "content": "你是医生"},
            {"role": "user", "content": "头痛"},
            {
                "role": "assistant",
                "reasoning": "想",
                "tool_calls": [{"id": "c1", "type": "function", "function": function}],
            },
            {"role": "tool", "tool_call_id": "c1", "content": "见内科"},
        ],
        "max_tokens": 1,
    }
    response = await post(http, theirs)
    chat = (await http.post("/v1/chat/completions", json=ours)).json()
    assert response["usage"]["input_tokens"] == chat["usage"]["prompt_tokens"]
