"""A conversation as chatbot messages."""

from __future__ import annotations

from typing import Any

import pytest

from webui.bubbles import REASONING_TITLE, bubbles
from webui.markup import Mark
from webui.text import Notice, Reply, Turn


def turn(text: str, *, finished: bool = True, finish_reason: str = "stop") -> Turn:
    return Turn("问<b>", Reply("", text, "ppo-1", finish_reason), finished)


def thoughts(messages: list[dict[str, Any]]) -> list[str]:
    return [m["metadata"]["status"] for m in messages if "metadata" in m]


def test_reasoning_is_a_message_of_its_own() -> None:
    """Question, reasoning under its title, and answer are three messages; all are escaped."""
    question, reasoning, answer = bubbles([turn("<think>想<i></think>答<u>")])
    assert (question["role"], question["content"]) == (
        "user",
        '<div class="galen-text">问&lt;b&gt;</div>',
    )
    assert reasoning["metadata"] == {"title": REASONING_TITLE, "status": "done"}
    assert "想&lt;i&gt;" in reasoning["content"]
    assert "答&lt;u&gt;" in answer["content"]
    assert "metadata" not in answer


def test_an_answer_without_a_thought_has_no_empty_thought_above_it() -> None:
    """A model that does not think shows two messages, while it writes and afterwards."""
    for busy in (True, False):
        assert thoughts(bubbles([turn("多喝水。")], busy=busy)) == []
        assert thoughts(bubbles([turn("<think>\n\n</think>\n\n多喝水。")], busy=busy)) == []


def test_reasoning_is_open_only_while_it_is_written() -> None:
    """`pending` opens the thought in Gradio, `done` closes it."""
    assert thoughts(bubbles([turn("<think>想")], busy=True)) == ["pending"]
    assert thoughts(bubbles([turn("<think>想</think>答")], busy=True)) == ["done"]
    assert thoughts(bubbles([turn("<think>想")])) == ["done"]


def test_waiting_is_said_before_the_first_word() -> None:
    """A reader who has just asked sees that something happens."""
    assert "Waiting for the model" in bubbles([Turn("问")], busy=True)[-1]["content"]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (turn("<think>想", finish_reason="length"), "there is no answer"),
        (turn("一半", finish_reason="length"), "cut at the length limit"),
        (turn("一半", finished=False), "Stopped"),
        (turn(""), "wrote nothing"),
        (Turn("问", problem=Notice("坏了", "broken")), "broken"),
    ],
)
def test_an_answer_that_is_less_than_whole_says_why(given: Turn, said: str) -> None:
    """Nobody takes a fragment for an answer."""
    assert said in bubbles([given])[-1]["content"]


def test_whole_answer_says_only_who_wrote_it() -> None:
    """A finished answer names its version and has no remark."""
    content = bubbles([turn("答")])[-1]["content"]
    assert "<code>ppo-1</code>" in content
    assert "galen-remark" not in content


def test_marks_are_drawn_in_the_last_turn_only() -> None:
    """The verdict in the panel is about the last answer."""
    first, last = bubbles([turn("答案"), turn("答案")], marks=[Mark(0, 1, "x", True)])[1::2]
    assert "<mark" not in first["content"]
    assert "<mark" in last["content"]
