"""Which fields an engine that many share is given."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from galen.errors import InvalidInput
from server.gateway import fields

ASK = {"model": "policy", "prompt": [1], "max_tokens": 4}
CHAT = {"model": "policy", "messages": [{"role": "user", "content": "头痛"}]}
TOOL = {"type": "function", "function": {"name": "look_up", "parameters": {"type": "object"}}}


def refusal(body: dict[str, Any]) -> InvalidInput:
    with pytest.raises(InvalidInput) as refused:
        fields.refuse_dangerous(body)
    return refused.value


def schema_of(values: int) -> dict[str, Any]:
    schema = {"enum": [f"a{number}" for number in range(values)]}
    return {"type": "json_schema", "json_schema": {"name": "a", "schema": schema}}


@pytest.mark.parametrize("field", sorted(fields.REFUSED))
@pytest.mark.parametrize("value", ["x", {"a": 1}, [], False])
def test_what_belongs_to_the_operator_is_refused_by_name(field: str, value: Any) -> None:
    """Whatever its value; the message names the field and not the value."""
    refused = refusal(ASK | {field: value})
    assert refused.param == field
    assert refused.message == f"{field}: {fields.REFUSED[field]}"


@pytest.mark.parametrize("field", sorted(fields.REFUSED))
def test_null_is_as_good_as_absent(field: str) -> None:
    """Some clients send every field that they know."""
    fields.refuse_dangerous(ASK | {field: None})


AGENTS_TOOL = {
    "name": "look_up",
    "input_schema": {"properties": {f"field_{n}": {"type": "string"} for n in range(8)}},
}
DESCRIBED = {"description": "a" * 100_000, "properties": {"description": {"type": "string"}}}
ORDINARY = [
    ASK,
    CHAT,
    ASK | {"return_token_ids": True, "logprobs": 0, "top_k": 0, "seed": 7, "temperature": 1.0},
    ASK | {"prompt": [[1, 2], [3]], "n": 4, "echo": True},
    ASK | {"prompt": ["a", "b"], "stop": ["\n", "</s>"], "logit_bias": {"5": -100}},
    CHAT | {"stream": True, "stream_options": {"include_usage": True}, "user": "ann"},
    CHAT | {"chat_template_kwargs": {"enable_thinking": False}, "n": 128},
    CHAT | {"tools": [TOOL], "tool_choice": "auto", "response_format": schema_of(500)},
    CHAT | {"messages": [{"role": "user", "content": [{"type": "text", "text": "头痛"}]}]},
    CHAT | {"messages": [{"role": "assistant", "content": None, "tool_calls": []}]},
    CHAT | {"messages": [{"role": "user", "content": "image_url"}], "metadata": {"a": "b"}},
    CHAT | {"structured_outputs": {"regex": "[a-z]+"}, "min_tokens": 2, "cache_salt": "s"},
    {"input": "头痛", "text": {"format": {"type": "text"}}, "reasoning": {"effort": "low"}},
    {"input": [{"role": "user", "content": [{"type": "input_text", "text": "a"}]}]},
    {"tools": [{"name": "a", "input_schema": {"type": "object"}}], "max_tokens": 5, **CHAT},
    {"tools": [{"name": "a", "input_schema": DESCRIBED}], "max_tokens": 5, **CHAT},
    {"tools": [AGENTS_TOOL] * 60, **CHAT},
    {"tools": [{"type": "function", "name": "a", "parameters": {}}], "input": "a"},
]


@pytest.mark.parametrize("body", ORDINARY)
def test_what_clients_send_every_day_passes(body: dict[str, Any]) -> None:
    """The SDKs of OpenAI and Anthropic, and the trainer's client."""
    fields.refuse_dangerous(body)


@pytest.mark.parametrize("kind", sorted(fields.MEDIA))
@pytest.mark.parametrize("field", ["messages", "input"])
def test_nothing_is_fetched_for_a_caller(kind: str, field: str) -> None:
    """A part that an engine would fetch or unpack is refused, said by its type or by its field,
    also inside the result of a tool."""
    address = {"url": "http://169.254.169.254/latest"}
    for part in (
        {"type": kind, kind: address},
        {kind: address},
        {"type": "tool_result", "content": [{"type": kind, "source": address}]},
    ):
        refused = refusal({field: [{"role": "user", "content": [{"type": "text"}, part]}]})
        assert refused.param == f"{field}.0.content"
        assert "169.254" not in refused.message


@pytest.mark.parametrize(
    ("tools", "param"),
    [
        (5, "tools"),
        ("x", "tools"),
        ({}, "tools"),
        ([5], "tools.0"),
        ([TOOL, {}], "tools.1"),
        ([{"type": "function", "function": {}}], "tools.0"),
        ([{"type": "function", "function": 5}], "tools.0"),
        ([{"type": "function", "function": {"name": 5}}], "tools.0"),
        ([{"type": "mcp", "server_url": "http://localhost"}], "tools.0.type"),
        ([{"type": "web_search_20250305", "name": "web_search"}], "tools.0.type"),
        ([{"type": ["function"], "name": "a"}], "tools.0.type"),
        ([TOOL] * 129, "tools"),
    ],
)
def test_only_tools_of_the_caller_are_offered(tools: Any, param: str) -> None:
    """With a name, since vLLM fails at one without; and none that the server would run."""
    assert refusal(CHAT | {"tools": tools}).param == param


@pytest.mark.parametrize("field", fields.OBJECTS)
@pytest.mark.parametrize("value", [5, 0.5, "x", [], ["x"], False])
def test_what_must_be_an_object_is_one(field: str, value: Any) -> None:
    """Inside vLLM another type is a failure, not a refusal."""
    assert refusal(CHAT | {field: value}).param == field


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"tool_choice": "我的病"}, "tool_choice"),
        ({"tool_choice": "any", "tools": [TOOL]}, "tool_choice"),
        ({"logit_bias": {"我的病": 1}}, "logit_bias"),
        ({"logit_bias": {"-1": 1}}, "logit_bias"),
        ({"logit_bias": {"9" * 5000: 1}}, "logit_bias"),
    ],
)
def test_what_vllm_would_repeat_is_refused_before(change: dict[str, Any], param: str) -> None:
    """Its refusals quote what a caller wrote; ours do not."""
    refused = refusal(CHAT | change)
    assert refused.param == param
    assert "我的病" not in refused.message


LARGE = {
    "n": {"n": 129},
    "n with a point": {"n": 129.0},
    "n in a string": {"n": "129"},
    "a number in a string": {"top_k": "9" * 30},
    "a number beyond 64 bits": {"top_k": 2**70},
    "a number below 64 bits": {"seed": -(2**70)},
    "stop": {"stop": ["a"] * 17},
    "a stop that is long": {"stop": "a" * 1025},
    "one of the stops is long": {"stop": ["a", "a" * 1025]},
    "bad_words": {"bad_words": ["a"] * 257},
    "logit_bias": {"logit_bias": {str(number): 1 for number in range(1025)}},
    "stop_token_ids": {"stop_token_ids": [1] * 1025},
    "messages": {"messages": [CHAT] * 4097},
    "response_format": {"response_format": schema_of(3000)},
    "tools": {"tools": [{"name": "a", "input_schema": schema_of(3000)}]},
    "text": {"text": {"format": schema_of(3000)}},
    "structured_outputs": {"structured_outputs": {"choice": ["a"] * 3000}},
    "a regex": {"structured_outputs": {"regex": "a" * 16_385}},
    "a grammar": {"structured_outputs": {"grammar": "a" * 16_385}},
    "a schema in a string": {"structured_outputs": {"json": "1" * 16_385}},
    "a pattern that is long": {
        "response_format": {"json_schema": {"schema": {"pattern": "a" * 16_384}}}
    },
    "a constant that is long": {
        "response_format": {"json_schema": {"schema": {"const": "a" * 16_384}}}
    },
    "a property's name that is long": {
        "text": {"format": {"schema": {"properties": {"a" * 16_384: {}}}}}
    },
    "a comment within a constant": {
        "response_format": {"schema": {"const": {"description": "a" * 16_384}}}
    },
    "a comment within a choice": {
        "response_format": {"schema": {"enum": [{"title": "a" * 16_384}]}}
    },
    "a choice that is long": {"structured_outputs": {"choice": ["a" * 16_384]}},
    "output_config": {"output_config": {"format": {"schema": {"const": "a" * 16_384}}}},
    "chat_template_kwargs.chat_template": {"chat_template_kwargs": {"chat_template": "{{ 1 }}"}},
}


@pytest.mark.parametrize("what", LARGE)
def test_what_would_hold_the_engine_up_is_refused(what: str) -> None:
    """By the field that is too large."""
    (field,) = LARGE[what]
    refused = refusal(ASK | LARGE[what])
    assert refused.param in (field, what, f"{field}.0")


def test_many_prompts_and_many_answers_are_bounded_together() -> None:
    """Else one request could be a hundred thousand."""
    fields.refuse_dangerous(ASK | {"prompt": [[1]] * 8, "n": 128})
    assert refusal(ASK | {"prompt": [[1]] * 9, "n": 128}).param == "n"
    assert refusal(ASK | {"prompt": ["a"] * 600, "n": 2}).param == "n"
    fields.refuse_dangerous(ASK | {"prompt": [1] * 600, "n": 2})
    fields.refuse_dangerous(ASK | {"prompt": ["a"] * 1024})
    assert refusal(ASK | {"prompt": ["a"] * 1025}).param == "prompt"
    assert refusal(ASK | {"prompt": [[1]] * 1025, "n": 1}).param == "prompt"


known = st.sampled_from([*fields.MOST, *fields.LONGEST, "n", "prompt", "content", "type", "text"])
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(known, inner, max_size=3),
    max_leaves=10,
)


@given(st.dictionaries(known, values, max_size=4))
def test_any_values_pass_or_are_refused(body: dict[str, Any]) -> None:
    """Whatever stands where: never another error."""
    with contextlib.suppress(InvalidInput):
        fields.refuse_dangerous(body)
