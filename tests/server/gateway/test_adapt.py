"""A request is changed only where an engine would keep, overlook or loosen something."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from galen.errors import InvalidInput
from server.gateway.adapt import adapted
from server.paths import CHAT, MESSAGES, PASSED_ON, RESPONSES, TOKENIZE

FIELDS = """
messages tools tool_choice function strict type input_schema reasoning reasoning_content store input
"""
fields = st.sampled_from(FIELDS.split())
leaves = st.sampled_from([None, True, 7, "x", "required", "function", "any"])
values = st.recursive(
    leaves,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(fields, inner, max_size=2),
    max_leaves=8,
)
choices = st.sampled_from(["required", "auto", {"type": "any"}]) | values
bodies = st.fixed_dictionaries(
    {"tool_choice": choices},
    optional={"tools": values, "messages": values, "store": values, "conversation": values},
)


@given(bodies, st.sampled_from(PASSED_ON))
def test_any_body_is_adapted_or_refused_and_left_as_it_was(body: dict[str, Any], path: str) -> None:
    """Whatever shapes its fields have: no other error, and the caller's own body is not touched."""
    before = copy.deepcopy(body)
    try:
        adapted(body, path)
    except InvalidInput as refused:
        assert path == RESPONSES and refused.param in body
    assert body == before


@pytest.mark.parametrize("field", ["previous_response_id", "conversation", "store", "background"])
def test_what_needs_kept_answers_is_refused_by_name(field: str) -> None:
    """An engine would keep them in memory without end, or say yes and keep nothing."""
    with pytest.raises(InvalidInput, match="not kept") as refused:
        adapted({"input": "x", field: "resp_1"}, RESPONSES)
    assert refused.value.param == field


def test_no_engine_is_asked_to_keep_an_answer() -> None:
    """Left out or off, `store` is off; by itself it would be on."""
    assert adapted({"input": "x"}, RESPONSES) == {"input": "x", "store": False}
    assert adapted({"store": None, "background": False}, RESPONSES)["store"] is False
    assert "store" not in adapted({"messages": []}, CHAT)


@pytest.mark.parametrize("path", [CHAT, TOKENIZE])
def test_reasoning_under_its_older_name_is_sent_back(path: str) -> None:
    """The engine reads the present name alone; where there are both, that one counts."""
    messages = [
        {"role": "user", "content": "q"},
        {"role": "assistant", "reasoning_content": "old"},
        {"role": "assistant", "reasoning_content": "old", "reasoning": "new"},
        {"role": "assistant", "reasoning_content": "old", "reasoning": None},
    ]
    sent = adapted({"messages": messages}, path)["messages"]
    assert [message.get("reasoning") for message in sent] == [None, "old", "new", "old"]
    assert "reasoning" not in sent[0]


CHAT_TOOL = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}
FLAT_TOOL = {"type": "function", "name": "f", "parameters": {"type": "object"}}
THEIR_TOOL = {"name": "f", "input_schema": {}}


@pytest.mark.parametrize(
    ("path", "choice", "tool", "expected"),
    [
        (
            CHAT,
            "required",
            CHAT_TOOL,
            {"name": "f", "parameters": {"type": "object"}, "strict": True},
        ),
        (CHAT, {"type": "function", "function": {"name": "f"}}, CHAT_TOOL, None),
        (RESPONSES, "required", FLAT_TOOL, {**FLAT_TOOL, "strict": True}),
        (RESPONSES, {"type": "function", "name": "f"}, FLAT_TOOL, None),
        (MESSAGES, {"type": "any"}, THEIR_TOOL, {**THEIR_TOOL, "strict": True}),
        (MESSAGES, {"type": "tool", "name": "f"}, THEIR_TOOL, None),
    ],
)
def test_a_forced_call_fits_its_schema(
    path: str, choice: Any, tool: dict[str, Any], expected: dict[str, Any] | None
) -> None:
    """In each API's words for it; a client that says whether it wants that gets what it says."""
    sent = adapted({"tools": [tool], "tool_choice": choice}, path)["tools"][0]
    assert sent.get("function", sent)["strict"] is True
    if expected:
        assert sent.get("function", sent) == expected
    if path == CHAT:
        loose = {**tool, "function": {**tool["function"], "strict": False}}
    else:
        loose = {**tool, "strict": False}
    assert adapted({"tools": [loose], "tool_choice": choice}, path)["tools"] == [loose]


@pytest.mark.parametrize("tool", [{"type": "custom", "name": "f"}, {"type": "namespace"}, "f"])
def test_a_tool_without_a_schema_stays_as_it_is(tool: Any) -> None:
    """There is nothing that a call could be held to."""
    body = {"tools": [tool], "tool_choice": "required"}
    assert adapted(body, RESPONSES)["tools"] == [tool]


@pytest.mark.parametrize("nothing", [{}, {"parameters": None}, {"parameters": {}}])
def test_a_function_without_parameters_is_called_without_any(nothing: dict[str, Any]) -> None:
    """Else any JSON would fit, a bare number too."""
    for path, tool in ((CHAT, {"function": {"name": "f", **nothing}}), (RESPONSES, nothing)):
        body = {"tools": [{"type": "function", **tool}], "tool_choice": "required"}
        sent = adapted(body, path)["tools"][0]
        assert sent.get("function", sent)["parameters"] == {"type": "object", "properties": {}}


@pytest.mark.parametrize("choice", [None, "auto", "none", {"type": "auto"}, {"type": "none"}])
def test_a_call_that_is_not_forced_is_left_to_the_client(choice: Any) -> None:
    """There the model may answer in words, and a schema is a hint, as in OpenAI's own API."""
    body = {"tools": [CHAT_TOOL], "tool_choice": choice}
    assert adapted(body, CHAT) == body
