"""What a request may say: OpenAI's and vLLM's names and limits."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.simple.errors import BadRequest
from server.simple.protocol import ChatRequest, CompletionRequest, parse

TOOL = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}
CHAT = {"messages": [{"role": "user", "content": "头痛"}]}


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"max_tokens": 0}, "max_tokens"),
        ({"max_tokens": -1}, "max_tokens"),
        ({"prompt": ""}, "prompt"),
        ({"prompt": []}, "prompt"),
        ({"prompt": [1, -1]}, "prompt"),
        ({"prompt": [[]]}, "prompt"),
        ({"prompt": [1, "a"]}, "prompt"),
        ({"prompt": None}, "prompt"),
        ({"temperature": 2.1}, "temperature"),
        ({"temperature": "warm"}, "temperature"),
        ({"top_p": 0}, "top_p"),
        ({"top_k": -2}, "top_k"),
        ({"n": 0}, "n"),
        ({"n": 1000}, "n"),
        ({"logprobs": -5}, "logprobs"),
        ({"logprobs": 21}, "logprobs"),
        ({"stop": ["a"] * 5}, "stop"),
        ({"stop": ""}, "stop"),
        ({"seed": 2**63}, "seed"),
        ({"use_beam_search": True}, "use_beam_search"),
        ({"stream_options": {"include_usage": True}}, "stream_options"),
        ({"stream": True, "prompt_logprobs": 1}, "prompt_logprobs"),
        ({"response_format": {"type": "json_schema"}}, "response_format"),
        *(
            ({"structured_outputs": bound}, "structured_outputs")
            for bound in (
                *({}, {"regex": "a+"}, {"regex": ""}, {"grammar": ""}, {"choice": []}),
                *({"structural_tag": ""}, {"json": None}, {"json_object": False}, {"jsn": {}}),
                *({"json": {}, "regex": ""}, {"json": {}, "json_object": True}),
                *({"json": {}, "whitespace_pattern": " "}, {"json": {}, "indent": 1}),
            )
        ),
    ],
)
def test_a_completion_that_cannot_be_is_refused(change: dict[str, Any], field: str) -> None:
    """With the field's name, status 400, and in one line."""
    with pytest.raises(BadRequest, match=field) as refused:
        parse(CompletionRequest, json.dumps({"prompt": "头痛", **change}).encode())
    assert (refused.value.status, refused.value.param) == (400, field)
    assert "\n" not in refused.value.message


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"messages": []}, "messages"),
        ({"messages": "头痛"}, "messages"),
        ({"max_completion_tokens": 0}, "max_completion_tokens"),
        ({"top_logprobs": 2}, "top_logprobs"),
        ({"tools": []}, "tools"),
        ({"tool_choice": "auto"}, "tool_choice"),
        ({"tools": [TOOL], "tool_choice": "sometimes"}, "tool_choice"),
        (
            {"tools": [TOOL], "tool_choice": {"type": "function", "function": {"name": "g"}}},
            "tool_choice",
        ),
        ({"chat_template": "{{ messages }}"}, "chat_template"),
    ],
)
def test_a_chat_that_cannot_be_is_refused(change: dict[str, Any], field: str) -> None:
    """A request may not bring a template of its own, which could be made to never end."""
    with pytest.raises(BadRequest, match=field) as refused:
        parse(ChatRequest, json.dumps({**CHAT, **change}).encode())
    assert refused.value.param == field


@pytest.mark.parametrize("prompt", ["头痛", [1, 2], ["头", "痛"], [[1, 2], [3]]])
def test_a_prompt_is_text_or_token_ids_one_or_several(prompt: Any) -> None:
    """All four forms come through as they are."""
    assert parse(CompletionRequest, json.dumps({"prompt": prompt}).encode()).prompt == prompt


def test_null_means_left_out_and_unknown_fields_are_ignored() -> None:
    """As clients send them that fill in every field."""
    nulls = dict.fromkeys(
        ["n", "temperature", "top_p", "stop", "seed", "stream", "logprobs", "max_tokens", "echo"]
    )
    request = parse(CompletionRequest, json.dumps({"prompt": "a", "user": "x", **nulls}).encode())
    assert request == CompletionRequest(prompt="a")


@pytest.mark.parametrize(
    "bound", [{"json": {}}, {"json_object": True}, {"json": {}, "disable_any_whitespace": True}]
)
def test_an_answer_is_bound_by_a_schema_or_to_any_object(bound: dict[str, Any]) -> None:
    """By itself, or among the nulls of a client that fills in every field."""
    nulls = dict.fromkeys(["json", "json_object", "regex", "choice", "grammar", "structural_tag"])
    for sent in (bound, {**nulls, **bound}):
        body = json.dumps({"prompt": "a", "structured_outputs": sent}).encode()
        told = parse(CompletionRequest, body).structured_outputs
        assert told is not None
        assert (told.json_, told.json_object) == (bound.get("json"), bound.get("json_object"))


@given(st.text(min_size=12))
def test_a_refusal_never_shows_what_was_said(secret: str) -> None:
    """An error may be logged; a patient's words may not."""
    body = json.dumps({"prompt": {"text": secret}, "temperature": secret}).encode()
    with pytest.raises(BadRequest) as refused:
        parse(CompletionRequest, body)
    assert secret not in refused.value.message


@given(st.binary(max_size=50))
def test_any_bytes_are_a_request_or_refused(raw: bytes) -> None:
    """Nothing else is raised."""
    with pytest.raises(BadRequest):
        parse(CompletionRequest, raw)
