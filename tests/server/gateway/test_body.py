"""A caller's body: what is refused, and what the engine gets."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from galen.errors import InvalidInput, MalformedJson
from galen.keys import Caller
from server.gateway import body as bodies
from server.gateway.adapt import adapted

characters = st.characters(codec="utf-8", exclude_characters="\x00")
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(characters, max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("abc"), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.text("abcdef"), json_values, max_size=4), st.booleans())
def test_a_body_reaches_the_engine_as_it_was_sent(fields: dict[str, Any], escaped: bool) -> None:
    """Only the model's name is another; every other field keeps its value."""
    raw = json.dumps(fields, ensure_ascii=escaped).encode()
    sent = bodies.for_engine(bodies.parse(raw), "engine", Caller("a", "admin"))
    assert json.loads(sent) == {**fields, "model": "engine"}


@given(st.binary())
def test_any_bytes_are_read_or_refused(raw: bytes) -> None:
    """No body, however broken, is anything but a mapping or one of the two refusals."""
    with contextlib.suppress(MalformedJson, InvalidInput):
        assert isinstance(bodies.parse(raw), dict)


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
        bodies.parse(raw)


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
        bodies.parse(raw)
    assert refused.value.param == field


@pytest.mark.parametrize("part", [b"[]", b"{}", b'""'])
def test_a_body_of_millions_of_parts_is_refused(part: bytes) -> None:
    """To look through them would hold up everybody else; as many token ids are no trouble."""
    many = b",".join([part] * (bodies.MOST_PARTS + 1))
    with pytest.raises(InvalidInput, match="lists, objects and texts"):
        bodies.parse(b'{"a":"\\u00e9","b":[' + many + b"]}")
    ids = b",".join([b"1"] * (bodies.MOST_PARTS + 1))
    assert len(bodies.parse(b'{"a":"\\u00e9","b":[' + ids + b"]}")["b"]) > bodies.MOST_PARTS


def test_depth_within_bounds_is_read_however_it_is_made() -> None:
    """A hundred levels, the body among them; brackets in a text are none."""
    raw = b'{"a":' + b"[" * 99 + b"]" * 99 + b',"b":"' + b"[{" * 500 + b'"}'
    assert bodies.parse(raw)["b"] == "[{" * 500


def test_the_last_of_equal_names_is_meant() -> None:
    """And the engine gets that one alone, so that both read the same."""
    body = bodies.parse(b'{"max_tokens":1,"max_tokens":2}')
    sent = bodies.for_engine(body, "engine", Caller("a", "user"))
    assert sent == b'{"max_tokens":2,"model":"engine"}'


def test_a_whole_surrogate_pair_is_text() -> None:
    """An emoji written as two escapes is one character and passes."""
    assert bodies.parse(rb'{"prompt":"\ud83d\ude00"}') == {"prompt": "😀"}


@pytest.mark.parametrize(
    ("role", "asked", "sent"),
    [
        ("rollout", None, bodies.ROLLOUT_PRIORITY),
        ("rollout", -5, bodies.ROLLOUT_PRIORITY),
        ("user", -5, None),
        ("admin", -5, -5),
        ("admin", None, None),
    ],
)
def test_people_go_before_rollouts(role: Any, asked: int | None, sent: int | None) -> None:
    """A rollout is always behind, a person cannot push ahead, an admin may choose."""
    body = {} if asked is None else {"priority": asked}
    forwarded = json.loads(bodies.for_engine(body, "engine", Caller("a", role)))
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
        ({"prompt": "a", "n": "3"}, 3),
        ({"prompt": "a", "n": "many"}, 1),
        ({"prompt": "a", "n": "inf"}, 1),
        ({"prompt": "a", "n": 10**400}, 1),
        ({"prompt": "a", "n": [2]}, 1),
        ({"prompt": [], "n": None}, 1),
    ],
)
def test_a_request_counts_for_what_the_engine_writes(body: dict[str, Any], count: int) -> None:
    """Each prompt as often as samples of it are asked for; what makes no sense counts as one."""
    assert bodies.sequences(body) == count


SCHEMA = {"type": "object"}


@pytest.mark.parametrize(
    "body",
    [
        {"response_format": {"type": "json_object"}},
        {"response_format": {"type": "json_schema", "json_schema": {"name": "a"}}},
        {"structured_outputs": {"regex": "a"}},
        {"text": {"format": {"type": "json_schema", "schema": SCHEMA}}},
        {"output_config": {"format": {"type": "json_schema", "schema": SCHEMA}}},
        {"tools": [{"type": "function", "function": {"name": "a", "strict": True}}]},
        {"tools": [{"type": "function", "name": "a", "strict": True}]},
    ],
)
def test_a_body_with_a_schema_or_grammar_constrains(body: dict[str, Any]) -> None:
    """In the words of each API."""
    assert bodies.constrains({"model": "policy", **body})


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/responses", "/v1/messages"])
def test_a_forced_call_constrains(path: str) -> None:
    """`adapt` makes its tool strict, in the words of each API."""
    tools, choice = {
        "/v1/chat/completions": ([{"type": "function", "function": {"name": "a"}}], "required"),
        "/v1/responses": ([{"type": "function", "name": "a"}], "required"),
        "/v1/messages": ([{"name": "a", "input_schema": SCHEMA}], {"type": "any"}),
    }[path]
    body: dict[str, Any] = {"tools": tools}
    assert not bodies.constrains(adapted(body, path))
    assert bodies.constrains(adapted({**body, "tool_choice": choice}, path))


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"response_format": None, "text": None, "structured_outputs": None, "tools": None},
        {"response_format": {"type": "text"}, "text": {"format": {"type": "text"}}},
        {"text": {"verbosity": "low"}, "output_config": {"effort": "low"}},
        {"text": 1, "response_format": "json", "tools": 5},
        {"tools": [{"type": "function", "function": {"name": "a", "strict": False}}, 1, None]},
        {"tools": [{"function": None}]},
    ],
)
def test_any_other_body_does_not_constrain(body: dict[str, Any]) -> None:
    """Also one that is nonsense, which the engine refuses."""
    assert not bodies.constrains(body)
