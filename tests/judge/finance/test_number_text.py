"""Every way to write the same number comes out in one spelling."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from judge.finance.number_text import plain


@pytest.mark.parametrize(
    ("text", "spelling"),
    [
        ("１２．５％", "12.5%"),
        ("−5", "-5"),
        ("3×4÷2", "3*4/2"),
        ("10⁵", "10^5"),
        ("10⁻²", "10^-2"),
        ("1，234，567", "1,234,567"),
        ("2.270，17", "2.270、17"),
        ("1\u2009234\u2009567", "1,234,567"),
        ("5–10", "5~10"),
        ("x = –5", "x = -5"),
        ("**$630**", "$630"),
        ("2**3", "2**3"),
        ("$x=5$", "x=5"),
        ("$5 and $6", "$5 and $6"),
        (r"\$5", "$5"),
        (r"\text{WACC} = 6.9\%", "WACC = 6.9%"),
        (r"\dfrac{a}{b}", "((a)/(b))"),
        (r"\frac{1}{\frac{2}{3}}", "((1)/(((2)/(3))))"),
        (r"1{,}390\,000", "1,390000"),
        (r"\left( 2 \cdot 3 \right)", "( 2 * 3 )"),
        ("答案。", "答案"),
        (".5.", ".5"),
        ("a \t\n b", "a b"),
    ],
)
def test_one_spelling(text: str, spelling: str) -> None:
    """Width, signs, LaTeX, bold and white space make no difference."""
    assert plain(text) == spelling


@given(st.text(alphabet="12.,，–−~$\\{}fractx*⁵１ \n％", max_size=80))
def test_any_text_has_a_plain_spelling(text: str) -> None:
    """No text brings it down, and the spelling has neither wide digits nor runs of spaces."""
    spelling = plain(text)
    assert not set(spelling) & set("１⁵％\n")
    assert "  " not in spelling
