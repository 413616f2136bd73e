"""Tool calls are found in what a model writes, and nothing else is lost or changed."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.simple.chat import bound_calls
from server.simple.tools import ToolCallParser, read_call

CALL = '<tool_call>\n{"name": "f", "arguments": {"城市": "北京"}}\n</tool_call>'
json_values = st.recursive(st.none() | st.booleans() | st.text(), st.lists, max_leaves=4)


def parsed(texts: list[str]) -> tuple[str, list[tuple[str, str]]]:
    parser = ToolCallParser()
    said = [parser.feed(text) for text in texts] + [parser.finish()]
    calls = [(call.name, call.arguments) for s in said for call in s.calls]
    return "".join(s.content for s in said), calls


@pytest.mark.parametrize(
    ("text", "content", "names"),
    [
        (CALL, "", ["f"]),
        (f"好{CALL}\n{CALL}\n", "好", ["f", "f"]),
        (CALL.removesuffix("</tool_call>"), "", ["f"]),
        (CALL.removesuffix("call>"), CALL.removesuffix("call>"), []),
        ("坏<tool_call>{bad</tool_call>了", "坏<tool_call>{bad</tool_call>了", []),
        ("没完<tool_call>{", "没完<tool_call>{", []),
        ("a < b <tool", "a < b <tool", []),
    ],
)
def test_calls_are_told_from_content(text: str, content: str, names: list[str]) -> None:
    """A call that is no JSON stays content as it was written."""
    found, calls = parsed([text])
    assert [name for name, _ in calls] == names
    assert found == content


@given(st.lists(st.sampled_from([CALL, "<tool_call>", "</tool_call>", "{", "头痛", " ", "<"])))
def test_it_does_not_matter_how_the_text_is_cut(texts: list[str]) -> None:
    """A stream and the whole text are parsed alike."""
    whole = "".join(texts)
    assert parsed(texts) == parsed([whole]) == parsed([*whole])


@given(st.dictionaries(st.text(), json_values))
def test_arguments_come_through_as_they_were_meant(arguments: dict[str, object]) -> None:
    """As a JSON text of their own, which is what OpenAI's clients read."""
    call = read_call(json.dumps({"name": "f", "arguments": arguments}))
    assert call is not None
    assert json.loads(call.arguments) == arguments


@pytest.mark.parametrize(
    ("text", "arguments"),
    [
        ('{"name": "f"}', "{}"),
        ('{"name": "f", "arguments": "{\\"x\\": 1}"}', '{"x": 1}'),
        ('{"name": "f", "arguments": "no JSON"}', None),
        ('{"name": "f", "arguments": [1]}', None),
        ('{"name": 1, "arguments": {}}', None),
        ("[1]", None),
        ("[" * 100_000, None),
    ],
)
def test_only_an_object_is_what_a_tool_can_be_called_with(text: str, arguments: str | None) -> None:
    """Clients read the arguments as a JSON object; anything else is no call."""
    call = read_call(text)
    assert (call and call.arguments) == arguments


@given(st.text())
def test_any_text_is_a_call_or_none(text: str) -> None:
    """Whatever stands between the tags, nothing breaks."""
    assert read_call(text) is None


@pytest.mark.parametrize("text", ["", '{"word": ', "[" * 100_000])
def test_an_answer_that_breaks_off_holds_no_call(text: str) -> None:
    """Nor does one that is nested too deeply to be read."""
    assert bound_calls(text, "look_up") == bound_calls(text, None) == []
