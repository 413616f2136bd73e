"""Negation, quotation, questions, and counting."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from judge.text.sentences import count_tokens, first_affirmed, sentences

DRUG = re.compile("头孢")


@pytest.mark.parametrize(
    "text",
    [
        "不建议自行服用头孢。",
        "切勿服用阿莫西林、头孢。",
        "不要吃阿莫西林，或头孢。",
        "避免使用头孢。",
        "没有必要用头孢。",
        "要不要吃头孢？",
        "您说的“吃头孢”是误解。",
    ],
)
def test_what_is_not_meant_is_not_found(text: str) -> None:
    """Negated, asked or quoted words are not the speaker's advice."""
    assert first_affirmed(sentences(text), DRUG) is None


@pytest.mark.parametrize(
    "text",
    [
        "建议吃头孢。",
        "不用去医院直接吃头孢。",
        "不要担心，吃头孢。",
        "特别推荐头孢。",
        "不是病毒感染，而是细菌，吃头孢。",
        "不要吃阿莫西林，吃头孢。",
        "您可以不必犹豫地吃头孢。",
    ],
)
def test_what_is_meant_is_found(text: str) -> None:
    """A negation of something else does not reach the advice."""
    assert first_affirmed(sentences(text), DRUG) is not None


@pytest.mark.parametrize(
    ("text", "tokens"),
    [("", 0), ("，。！", 0), ("多喝水", 3), ("血压120", 3), ("CT 检查, ok", 4), ("１２３", 1)],
)
def test_count_tokens(text: str, tokens: int) -> None:
    """Chinese characters count one each, other words and numbers one each, punctuation none."""
    assert count_tokens(text) == tokens


@given(st.text(alphabet="吃药不，。！？；：（）\n“”a1 ", max_size=200))
def test_clauses_stand_where_they_say(text: str) -> None:
    """Every clause is found again at its start, in order, and within its sentence."""
    for part in sentences(text):
        assert text[part.start : part.start + len(part.text)] == part.text
        for clause in part.clauses:
            assert text[clause.start : clause.start + len(clause.text)] == clause.text


@given(st.text(alphabet="吃药，：a ", max_size=40), st.integers(min_value=1, max_value=60))
def test_an_endless_sentence_is_read_in_pieces(words: str, times: int) -> None:
    """No piece is longer than a rule may weigh phrase against phrase in, and none is lost."""
    text = "药" + words * times
    parts = sentences(text)
    assert all(len(part.text) <= 240 for part in parts)
    assert text.replace(" ", "") == "".join(part.text for part in parts).replace(" ", "")


def test_a_sentence_of_usual_length_is_whole() -> None:
    """Only what no writer would call one sentence is cut, and after a pause if there is one."""
    assert len(sentences("吃药" * 120 + "。")) == 1
    first, second = sentences("吃药" * 100 + "，" + "吃药" * 100 + "。")
    assert (first.text[-1], second.text[-1]) == ("，", "。")
