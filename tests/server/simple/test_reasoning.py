"""Thought and answer are told apart as vLLM's Qwen3 parser does."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.simple.reasoning import ReasoningSplitter

pieces = st.lists(
    st.sampled_from(["<think>", "</think>", "<tool_call>", "<", "</th", "ink>", "想", "\n"])
)


def split(texts: list[str], *, thinking: bool = True, tools: bool = False) -> tuple[str, str]:
    splitter = ReasoningSplitter(thinking=thinking, tools=tools)
    parts = [splitter.feed(text) for text in texts] + [splitter.finish()]
    return "".join(p.reasoning for p in parts), "".join(p.content for p in parts)


@pytest.mark.parametrize(
    ("text", "reasoning", "content"),
    [
        ("<think>\n先想\n</think>\n\n答案。", "\n先想\n", "\n\n答案。"),
        ("先想</think>答", "先想", "答"),
        ("<think>没完", "没完", ""),
        ("没有标签", "没有标签", ""),
        ("想</think>答</think>再", "想", "答</think>再"),
        ("想</think><think>再", "想", "<think>再"),
        ("想<tool_call>", "想<tool_call>", ""),
        ("</think>", "", ""),
        ("", "", ""),
    ],
)
def test_a_thought_ends_at_its_first_closing_tag(text: str, reasoning: str, content: str) -> None:
    """An answer begins as a thought; one that was cut off has no content."""
    assert split([text]) == (reasoning, content)


def test_a_call_ends_a_thought_where_tools_were_offered() -> None:
    """The call belongs to the content."""
    assert split(["想<tool_", "call>{}"], tools=True) == ("想", "<tool_call>{}")


def test_without_thinking_everything_is_content() -> None:
    """The prompt has closed the thought already."""
    assert split(["<think>想</think>答"], thinking=False) == ("", "<think>想</think>答")


@given(pieces, st.booleans())
def test_it_does_not_matter_how_the_text_is_cut(texts: list[str], tools: bool) -> None:
    """A stream and the whole text are split alike."""
    whole = "".join(texts)
    assert split(texts, tools=tools) == split([whole], tools=tools) == split([*whole], tools=tools)
