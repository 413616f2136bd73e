"""Arithmetic is worked out by hand, within bounds, and nothing else is."""

from __future__ import annotations

import math
import operator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from judge.finance.arithmetic import MAX_CHARS, MAX_DEPTH, NotArithmetic, evaluate

STEPS = {"+": operator.add, "-": operator.sub, "*": operator.mul, "/": operator.truediv}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1264-1264/(1+0.145)", 160.0699),
        ("2*3+4", 10),
        ("2+3*4", 14),
        ("10-4-3", 3),
        ("100/10/5", 2),
        ("-2^2", -4),
        ("2^3^2", 512),
        ("2**3", 8),
        ("2^-1", 0.5),
        ("(1+0.06/12)^360", 6.022575),
        ("(-8)^3", -512),
        ("--5", 5),
        ("1,234.5+.5", 1235),
        ("1.2e3*2", 2400),
        ("100*(1+5%)", 105),
        ("50%%", 0.005),
        (" ( 1 + 2 ) * 3 ", 9),
    ],
)
def test_arithmetic_comes_to_its_value(text: str, value: float) -> None:
    """Precedence, brackets, powers from the right, percent as a hundredth."""
    assert evaluate(text) == pytest.approx(value, rel=1e-6)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "1+",
        "(1",
        "1)",
        "()",
        "1 2",
        "2(3)",
        "1/0",
        "0^-1",
        "(-8)^0.5",
        "1.2.3",
        "1,23",
        "x",
        "__import__('os')",
        "1;2",
        "1e999",
        "१+१",
    ],
)
def test_what_has_no_value_is_refused(text: str) -> None:
    """No repair and no guess: half an expression, a name or a call is no arithmetic."""
    with pytest.raises(NotArithmetic):
        evaluate(text)


@pytest.mark.parametrize(
    "bomb",
    [
        "9**9**9",
        "9^9^9^9",
        "10^64^2",
        "(" * 10_000 + "1" + ")" * 10_000,
        "-" * (MAX_DEPTH + 2) + "1",
        "2^" * (MAX_DEPTH + 2) + "1",
        "9" * 1_000_000,
        "1+" * MAX_CHARS + "1",
        "1e30*1e30",
    ],
)
def test_a_bomb_is_refused(bomb: str) -> None:
    """What is too long, too deep or too large is not worked out."""
    with pytest.raises(NotArithmetic):
        evaluate(bomb)


def test_the_deepest_brackets_that_are_allowed_are_read() -> None:
    """The bound on depth is what it says."""
    assert evaluate("(" * MAX_DEPTH + "7" + ")" * MAX_DEPTH) == 7


@given(
    first=st.integers(-99, 99),
    rest=st.lists(st.tuples(st.sampled_from("+-*/"), st.integers(1, 99)), max_size=6),
)
def test_a_bracketed_chain_is_worked_out_from_the_inside(
    first: int, rest: list[tuple[str, int]]
) -> None:
    """Each step of ((a+b)*c)/d is what Python makes of its two numbers."""
    text, value = str(first), float(first)
    for sign, number in rest:
        text, value = f"({text}){sign}{number}", STEPS[sign](value, float(number))
    assert evaluate(text) == pytest.approx(value)


@given(st.text(alphabet="0123456789.,+-*/^()%e ", max_size=60))
def test_any_text_has_a_finite_value_or_none(text: str) -> None:
    """No text brings it down, and no value is infinite or no number."""
    try:
        value = evaluate(text)
    except NotArithmetic:
        return
    assert math.isfinite(value)
