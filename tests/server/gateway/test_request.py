"""A caller's body: what is refused, and what the engine gets."""

from __future__ import annotations

import contextlib
import copy
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from galen.errors import InvalidInput, MalformedJson
from galen.keys import Caller
from server.gateway import request as requests
from server.gateway.fields import sequences
from server.gateway.request import EngineRequest, adapted, parse
from server.paths import CHAT, COMPLETIONS, MESSAGES, PASSED_ON, RESPONSES, TOKENIZE

characters = st.characters(codec="utf-8", exclude_characters="\x00")
json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63) + 1, 2**63 - 1)
    | st.text(characters, max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("abc"), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.text("abcdef"), json_values, max_size=4), st.booleans())
def test_a_body_reaches_the_engine_as_it_was_sent(fields: dict[str, Any], escaped: bool) -> None:
    """Only the model's name is another; every other field keeps its value."""
    raw = json.dumps(fields, ensure_ascii=escaped).encode()
    sent = EngineRequest.read(raw, COMPLETIONS, Caller("a", "admin")).for_engine("engine")
    assert json.loads(sent) == {**fields, "model": "engine"}


@given(st.binary())
def test_any_bytes_are_read_or_refused(raw: bytes) -> None:
    """No body, however broken, is anything but a mapping or one of the two refusals."""
    with contextlib.suppress(MalformedJson, InvalidInput):
        assert isinstance(parse(raw), dict)


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b'{"a":',
        b'{"a":NaN}',
        b'{"a":-Infinity}',
        b'{"a":"\xff"}',
        b"[" * 200_000,
        b'{"a":' + b"[" * 100 + b"]" * 100 + b"}",
        b'{"a":"\\u0041","b":' + b'{"c":' * 500 + b"1" + b"}" * 500 + b"}",
        b'{"a":1e999}',
        b'{"a":[-1E+999]}',
        b'{"a":' + b"9" * 5_000 + b"}",
    ],
)
def test_what_is_no_json_is_malformed(raw: bytes) -> None:
    """Broken, not UTF-8, too deep and beyond numbers are all 400."""
    with pytest.raises(MalformedJson):
        parse(raw)


@pytest.mark.parametrize(
    ("raw", "field"),
    [
        (rb'{"prompt":"a\u0000b"}', "prompt"),
        (rb'{"prompt":"\ud800"}', "prompt"),
        (rb'{"messages":[{"content":"ok"},{"content":"\udc00"}]}', "messages.1.content"),
        (rb'{"a\u0000":1}', "a field's name"),
    ],
)
def test_text_that_is_no_text_is_refused_by_field(raw: bytes, field: str) -> None:
    """A NUL or half a surrogate pair is refused, naming the field and never its value."""
    with pytest.raises(InvalidInput) as refused:
        parse(raw)
    assert refused.value.param == field


@pytest.mark.parametrize("part", [b"[]", b"{}", b'""'])
def test_a_body_of_millions_of_parts_is_refused(part: bytes) -> None:
    """To look through them would hold up everybody else; as many token ids are no trouble."""
    many = b",".join([part] * (requests.MAX_PARTS + 1))
    with pytest.raises(InvalidInput, match="lists, objects and texts"):
        parse(b'{"a":"\\u00e9","b":[' + many + b"]}")
    ids = b",".join([b"1"] * (requests.MAX_PARTS + 1))
    assert len(parse(b'{"a":"\\u00e9","b":[' + ids + b"]}")["b"]) > requests.MAX_PARTS


@pytest.mark.parametrize("raw", [b"[" * 200_001, b'{"a":[' + b"1," * 400_001 + b"1]}"])
def test_a_body_that_would_block_everybody_is_refused_unread(raw: bytes) -> None:
    """Millions of ids take a tenth of a second to parse, lists of lists more than one."""
    with pytest.raises(InvalidInput, match="send less"):
        parse(raw)


def test_depth_within_bounds_is_read_however_it_is_made() -> None:
    """A hundred levels, the body among them; brackets in a text are none."""
    raw = b'{"a":' + b"[" * 99 + b"]" * 99 + b',"b":"' + b"[{" * 500 + b'"}'
    assert parse(raw)["b"] == "[{" * 500


def test_the_last_of_equal_names_is_meant() -> None:
    """And the engine gets that one alone, so that both read the same."""
    body = parse(b'{"max_tokens":1,"max_tokens":2}')
    sent = EngineRequest.of(body, COMPLETIONS, Caller("a", "user")).for_engine("engine")
    assert sent == b'{"max_tokens":2,"model":"engine"}'


def test_a_whole_surrogate_pair_is_text() -> None:
    """An emoji written as two escapes is one character and passes."""
    assert parse(rb'{"prompt":"\ud83d\ude00"}') == {"prompt": "😀"}


@pytest.mark.parametrize(
    ("role", "asked", "sent"),
    [
        ("rollout", None, requests.ROLLOUT_PRIORITY),
        ("rollout", -5, requests.ROLLOUT_PRIORITY),
        ("user", -5, None),
        ("admin", -5, -5),
        ("admin", None, None),
    ],
)
def test_people_go_before_rollouts(role: Any, asked: int | None, sent: int | None) -> None:
    """A rollout is always behind, a person cannot push ahead, an admin may choose."""
    body = {} if asked is None else {"priority": asked}
    request = EngineRequest.of(body, CHAT, Caller("a", role))
    forwarded = json.loads(request.for_engine("engine"))
    assert forwarded.get("priority") == sent


@pytest.mark.parametrize(
    ("body", "count"),
    [
        ({"messages": []}, 1),
        ({"prompt": "a"}, 1),
        ({"prompt": [1, 2, 3]}, 1),
        ({"prompt": [[1], [2]]}, 2),
        ({"prompt": ["a", "b", "c"], "n": 4}, 12),
        ({"messages": [], "n": 2.0}, 2),
        ({"prompt": "a", "n": 0}, 1),
        ({"prompt": "a", "n": -3}, 1),
        ({"prompt": "a", "n": "3"}, 1),
        ({"prompt": "a", "n": float("inf")}, 1),
        ({"prompt": "a", "n": [2]}, 1),
        ({"prompt": [], "n": None}, 1),
    ],
)
def test_a_request_counts_for_what_the_engine_writes(body: dict[str, Any], count: int) -> None:
    """Each prompt as often as samples of it are asked for; what makes no sense counts as one."""
    assert sequences(body) == count


FIELDS = """
messages tools tool_choice function strict type input_schema reasoning reasoning_content store input
"""
names = st.sampled_from(FIELDS.split())
leaves = st.sampled_from([None, True, 7, "x", "required", "function", "any"])
values = st.recursive(
    leaves,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(names, inner, max_size=2),
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


@pytest.mark.parametrize("path", [CHAT, RESPONSES, MESSAGES])
@pytest.mark.parametrize("choice", [{}, {"tool_choice": "auto"}, {"tool_choice": None}])
def test_no_tools_is_as_good_as_none(path: str, choice: dict[str, Any]) -> None:
    """An SDK sends an empty list; vLLM's chats refuse it."""
    assert "tools" not in adapted({"input": "x", "tools": [], **choice}, path)


def test_an_answer_dumped_by_an_sdk_can_be_sent_back() -> None:
    """It has nulls for what it lacks; cut off while thinking, it has no content either."""
    dumped = {"role": "assistant", "content": None, "tool_calls": None, "name": None, "x": 1}
    (sent,) = adapted({"messages": [dumped]}, CHAT)["messages"]
    assert sent == {"role": "assistant", "content": "", "x": 1}
    call = {"role": "assistant", "content": None, "tool_calls": [{"id": "1"}]}
    assert adapted({"messages": [call]}, CHAT)["messages"][0]["tool_calls"] == [{"id": "1"}]


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
