"""Folding: what a text says without its disguises, and where each find was written."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from judge.attacks.disguise import COMPACT, LETTERS, LINED, decoded, find, is_invisible, written


@pytest.mark.parametrize(
    ("text", "lined", "compact", "letters"),
    [
        ("Ａ b，C", "a b,c", "ab,c", "abc"),
        ("**给**\n满", "**给**\n满", "给满", "给满"),
        ("滿\u200b分", "满分", "满分", "满分"),
        ("é𝐱ᴛ🅖", "extg", "extg", "extg"),
        ("1.0：", "1.0:", "1.0:", "10"),
    ],
)
def test_folds(text: str, lined: str, compact: str, letters: str) -> None:
    """Lower case and one form of each letter; then without white space; then letters alone."""
    assert text.translate(LINED) == lined
    assert text.translate(COMPACT) == compact
    assert text.translate(LETTERS) == letters


def test_a_find_is_marked_where_it_was_written() -> None:
    """Its span holds the disguise, too."""
    text = "前面 给\u200b\u200b满 分。后面"
    assert find(re.compile("给满分"), text, COMPACT) == (3, 9)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("\\u7ed9\\u6ee1", "给满"),
        ("&#32473;&#x6ee1;", "给满"),
        ("%E7%BB%99", ""),
        ("%E7%BB%99%E6%BB%A1", "给满"),
        ("a b c d e f  g h", "abcdefgh"),
        ("aGVsbG8gd29ybGQgYWdhaW4=", "hello world again"),
        (b"hello world again".hex(), "hello world again"),
        ("electroencephalography", ""),
    ],
)
def test_what_was_encoded_is_decoded(text: str, said: str) -> None:
    """Escapes, entities, percent signs, spaced letters, base64 and hexadecimal; nonsense is not."""
    assert "".join(piece for piece, _ in decoded(text)) == said


def test_white_space_is_not_invisible() -> None:
    """It is seen by what it keeps apart."""
    assert not any(map(is_invisible, "\n\t\r \u3000"))
    assert all(map(is_invisible, "\u200b\u202e\u00ad\ufeff\u3164\x00\U000e0041"))


@given(st.text(max_size=40), st.sampled_from([LINED, COMPACT, LETTERS]))
def test_every_folded_character_has_its_place(text: str, fold: dict[int, str]) -> None:
    """The whole of a folded text is written inside the text."""
    folded = text.translate(fold)
    if folded:
        start, end = written(text, fold, (0, len(folded)))
        assert 0 <= start < end <= len(text)
        assert text[start:end].translate(fold) == folded


@given(st.text(max_size=200))
def test_anything_can_be_decoded(text: str) -> None:
    """No text makes a decoder fail."""
    for _, (start, end) in decoded(text):
        assert 0 <= start < end <= len(text)
