"""Answers in letters and words: choices, yes and no, the same words, key words."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from judge.finance.keywords import MAX_CHARS, choice, chosen, has_key_words, same_words, truth


@pytest.mark.parametrize(
    ("text", "letters"),
    [("B", "B"), ("ABD", "ABD"), ("A、C", "AC"), ("(B)", "B"), ("B. 净利率", "B"), ("Ｂ", "B")],
)
def test_a_reference_may_be_letters(text: str, letters: str) -> None:
    """One letter or several, with or without what they stand for."""
    assert choice(text) == frozenset(letters)


@pytest.mark.parametrize("text", ["A股市场", "EBIT", "a", "800", "", "Cash", "CAD 500"])
def test_a_word_that_begins_with_a_letter_is_no_choice(text: str) -> None:
    """A股 and EBIT are words."""
    assert choice(text) is None


@pytest.mark.parametrize(
    ("text", "letters"),
    [
        ("B", "B"),
        ("选B", "B"),
        ("选项 B。", "B"),
        ("B，因为净利率更高", "B"),
        ("(B) 净利率", "B"),
        ("The correct option is B", "B"),
        ("A, C 和 D", "ACD"),
        ("**B**", "B"),
        ("\\text{B}", "B"),
        ("A and C", "AC"),
    ],
)
def test_an_answer_chooses(text: str, letters: str) -> None:
    """However the choice is dressed."""
    assert chosen(text) == frozenset(letters)


@pytest.mark.parametrize("text", ["A或B", "B，而不是 C", "", "净利率", "Beta", "选b"])
def test_who_names_another_letter_has_not_chosen(text: str) -> None:
    """Hedging between letters is no choice."""
    assert chosen(text) is None


@pytest.mark.parametrize(
    ("text", "value"),
    [("True", True), ("是的，成立。", True), ("正确", True), ("No.", False), ("错误", False)],
)
def test_yes_and_no_in_both_languages(text: str, value: bool) -> None:
    """The word alone, or before a comma."""
    assert truth(text) is value


def test_a_digit_is_a_yes_only_where_one_is_asked_for() -> None:
    """1 answers True; a reference of 1 is a number."""
    assert truth("1", or_digit=True) is True
    assert truth("0", or_digit=True) is False
    assert truth("1") is None
    assert truth("是否成立不明") is None


def test_the_same_words_whatever_their_dress() -> None:
    """Case, width, spaces and punctuation do not count; digits, points and percents do."""
    assert same_words("净 利率。", "净利率")
    assert same_words("Net Margin", "net margin")
    assert same_words("\\text{净利率}", "净利率")
    assert not same_words("1.5倍", "15倍")
    assert not same_words("5%的利率", "5的利率")
    assert not same_words("", "")


@pytest.mark.parametrize(
    ("answer", "reference"),
    [
        ("该指标叫做净利率。", "净利率"),
        ("先看流动性，再看收益性和安全性。", "流动性；安全性；收益性"),
        ("It measures liquidity risk and credit risk", "liquidity risk; credit risk"),
        (
            "市净率低于1，说明股价低于每股净资产，股票可能被低估。",
            "市净率低于1意味着股价低于每股净资产，可能被低估",
        ),
    ],
)
def test_key_words_are_found(answer: str, reference: str) -> None:
    """A short reference, every word of a list, or most of a sentence."""
    assert has_key_words(answer, reference)


@pytest.mark.parametrize(
    ("answer", "reference"),
    [
        ("该指标不是净利率。", "净利率"),
        ("This is not net margin.", "net margin"),
        ("先看流动性，再看收益性。", "流动性；安全性；收益性"),
        ("股票会涨。", "市净率低于1意味着股价低于每股净资产，可能被低估"),
        ("净利率", "净" * (MAX_CHARS + 1)),
        ("净利率", ""),
        ("", "净利率"),
    ],
)
def test_key_words_are_missed(answer: str, reference: str) -> None:
    """A word under a negation is not said, a list is wanted whole, an essay has none."""
    assert not has_key_words(answer, reference)


@given(st.text(max_size=80), st.text(max_size=80))
def test_any_two_texts_can_be_compared(answer: str, reference: str) -> None:
    """No text brings it down, and a text has the same words as itself or none at all."""
    has_key_words(answer, reference)
    choice(reference), chosen(answer), truth(answer)
    assert same_words(answer, answer) or not any(sign.isalnum() for sign in answer)
