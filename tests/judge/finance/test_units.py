"""The tables of units hold together."""

from __future__ import annotations

import re

import pytest

from judge.finance.units import PREFIXES, SCALES, UNITS, either


def test_a_prefix_is_a_currency_that_also_stands_behind() -> None:
    """A sign before a number and a word behind it name one kind."""
    kinds = {kind for kind, _ in UNITS.values()}
    assert set(PREFIXES.values()) <= kinds


@pytest.mark.parametrize("words", [SCALES, UNITS], ids=["scales", "units"])
def test_the_longest_word_is_found_first(words: dict[str, object]) -> None:
    """万亿 is not 万 and then 亿, and 个百分点 is not 个."""
    pattern = re.compile(either(words))
    for word in words:
        found = pattern.match(word)
        assert found is not None and found.group() == word


def test_a_word_inside_another_is_not_found() -> None:
    """百分点 holds no hundred and 成本 no tenth."""
    assert re.match(either(["百", "成"]), "百分点") is None
    assert re.match(either(["百", "成"]), "成本") is None
    assert re.match(either(["百", "成"]), "百元") is not None


def test_a_latin_word_ends_where_letters_do() -> None:
    """The m of 5 model is no million, and the x of 2x3 no times."""
    assert re.fullmatch(rf"(?:{either(['m'])})odel", "model") is None
    assert re.match(either(["x"]), "x3") is None
    assert re.match(either(["x"]), "x。") is not None
