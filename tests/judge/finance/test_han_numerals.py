"""Numbers written in Chinese come out in digits, and words that only hold a numeral stay words."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from judge.finance.han_numerals import in_digits, joined, shares_in_digits, value_of

DIGITS = "零一二三四五六七八九"


def written(number: int) -> str:
    """A number below ten thousand as it is written: 1050 is 一千零五十."""
    text, gap = "", False
    for place, sign in ((1000, "千"), (100, "百"), (10, "十"), (1, "")):
        digit = number // place % 10
        if digit:
            text += ("零" if gap else "") + DIGITS[digit] + sign
            gap = False
        else:
            gap = bool(text)
    return text or "零"


@given(st.integers(0, 9999))
def test_every_number_below_ten_thousand_is_read(number: int) -> None:
    """What a number is written as is what it is read from."""
    assert value_of(written(number)) == number


@pytest.mark.parametrize(
    ("numeral", "value"),
    [("十五", 15), ("两百", 200), ("二〇二三", 2023), ("三点一四", 3.14), ("零点五", 0.5)],
)
def test_short_forms_are_read(numeral: str, value: float) -> None:
    """A ten without its one, digits in a row, a decimal point."""
    assert value_of(numeral) == value


@pytest.mark.parametrize("numeral", ["", "百", "一百百", "十百", "一二十", "三点", "万"])
def test_what_is_no_numeral_is_none(numeral: str) -> None:
    """Ill-formed numerals are not guessed at."""
    assert value_of(numeral) is None


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("三千五百万元", "3500万元"),
        ("增长三成", "增长3成"),
        ("统一的第一步", "统一的第一步"),
        ("十二", "12"),
        ("负五万", "-5万"),
    ],
)
def test_only_numerals_that_count_something_change(text: str, plain: str) -> None:
    """A scale or a unit must follow, or nothing."""
    assert in_digits(text) == plain


@pytest.mark.parametrize(
    ("text", "plain"),
    [("百分之五", "5%"), ("百分之 12.5", "12.5%"), ("千分之三", "3‰"), ("万分之二十", "20bp")],
)
def test_shares_are_written_behind_their_number(text: str, plain: str) -> None:
    """百分之五 is 5%."""
    assert shares_in_digits(text) == plain


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("1亿2000万元", "1.2亿元"),
        ("3万5千元", "3.5万元"),
        ("1亿零50万", "1.005亿"),
        ("5万3亿", "5万3亿"),
        ("5万3千万", "5万3千万"),
        ("800万元", "800万元"),
    ],
)
def test_two_parts_become_one_number(text: str, plain: str) -> None:
    """In the first part's scale, if the second is the smaller."""
    assert joined(text) == plain
