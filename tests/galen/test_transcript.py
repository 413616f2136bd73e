"""Reasoning and answer, told apart."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from galen.transcript import THINK_CLOSE, THINK_OPEN, Transcript, of, parse

pieces = st.sampled_from([THINK_OPEN, THINK_CLOSE, " ", "\n", "头痛", "多喝水。", "<", "</think"])
untagged = st.text().filter(lambda text: "<think>" not in text and "</think>" not in text)


@given(untagged, untagged)
def test_what_is_rendered_is_read_back(reasoning: str, answer: str) -> None:
    """Writing reasoning and answer as training text and reading it loses only outer blanks."""
    read = parse(of(reasoning, answer).render())
    expected = (reasoning.strip(), answer.strip(), True)
    assert (read.reasoning, read.answer, read.closed) == expected


@given(st.lists(pieces, max_size=12).map("".join) | st.text())
def test_answer_start_points_into_the_text_it_was_read_from(text: str) -> None:
    """From `answer_start` on, the original text is the answer and blanks, whatever came before."""
    read = parse(text)
    assert text[read.answer_start :].rstrip() == read.answer


@pytest.mark.parametrize("text", ["<think>先想想", "  <think>\n先想想\n", "<think>先想想 "])
def test_a_cut_off_thought_has_no_answer(text: str) -> None:
    """Reasoning that was never ended is reasoning, and nothing is told to the reader."""
    assert parse(text) == Transcript("先想想", "", len(text), closed=False)


def test_the_opening_tag_may_stand_in_the_prompt() -> None:
    """A completion that begins inside the thought is split at the closing tag all the same."""
    assert parse("先想想</think>\n\n多喝水") == Transcript("先想想", "多喝水", 13, closed=True)


def test_text_without_tags_is_all_answer() -> None:
    """A model that does not think aloud is not taken for one that was cut off."""
    assert parse("\n 多喝水 ") == Transcript("", "多喝水", 2, closed=True)


@pytest.mark.parametrize("tag", [THINK_OPEN, THINK_CLOSE])
def test_a_tag_inside_the_answer_stays(tag: str) -> None:
    """A tag after the first `</think>` is the model's mistake, kept where rules can see it."""
    assert parse(f"<think>想</think>多{tag}喝水").answer == f"多{tag}喝水"


def test_qwen3s_form_is_written_exactly() -> None:
    """The training text has the tags on lines of their own and an empty line before the answer."""
    assert of(" 想 ", " 答 ").render() == "<think>\n想\n</think>\n\n答"
