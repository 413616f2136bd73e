"""Amounts are read with their scale and unit, as one quantity or as none."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from judge.finance.amounts import MAX_CHARS, readings
from judge.finance.quantity import RELATIVE_TOLERANCE, Quantity, agree
from judge.finance.units import SCALES, UNITS


def one(text: str) -> Quantity:
    (quantity,) = readings(text)
    return quantity


def same(answer: str, reference: str, tolerance: float = RELATIVE_TOLERANCE) -> bool:
    return agree(one(answer), one(reference), tolerance)


@pytest.mark.parametrize(
    ("text", "written", "exponent", "kind"),
    [
        ("1152", 1152, 0, ""),
        ("-1.29", -1.29, 0, ""),
        ("−1.29", -1.29, 0, ""),
        ("–1.29", -1.29, 0, ""),
        ("负100元", -100, 0, "CNY"),
        (".5", 0.5, 0, ""),
        ("1.2e5", 120000, 0, ""),
        ("1,234,567", 1234567, 0, ""),
        ("1，234，567元", 1234567, 0, "CNY"),
        ("８００．５万元", 800.5, 4, "CNY"),
        ("3,500万元", 3500, 4, "CNY"),
        ("12.5亿", 12.5, 8, ""),
        ("1.3万亿美元", 1.3, 12, "USD"),
        ("人民币800元", 800, 0, "CNY"),
        ("¥5万", 5, 4, "CNY"),
        ("$1,208.50", 1208.5, 0, "USD"),
        (r"\$1,208.50", 1208.5, 0, "USD"),
        ("-$100", -100, 0, "USD"),
        ("$-100", -100, 0, "USD"),
        ("US$1.2 billion", 1.2, 9, "USD"),
        ("$2.5m", 2.5, 6, "USD"),
        ("€8.06", 8.06, 0, "EUR"),
        ("2,250 BRL", 2250, 0, "BRL"),
        ("17.90%", 17.9, -2, "ratio"),
        ("5 percent", 5, -2, "ratio"),
        ("2.8个百分点", 2.8, -2, "point"),
        ("2.8百分点", 2.8, -2, "point"),
        ("百分之五", 5, -2, "ratio"),
        ("百分之12.5", 12.5, -2, "ratio"),
        ("50bp", 50, -4, "basis point"),
        ("25个基点", 25, -4, "basis point"),
        ("3‰", 3, -3, "ratio"),
        ("三成", 3, -1, "ratio"),
        ("4.64倍", 4.64, 0, "ratio"),
        ("1.5x", 1.5, 0, "ratio"),
        ("100股", 100, 0, "share"),
        ("30份", 30, 0, "份"),
        ("5 years", 5, 0, "year"),
        ("三千五百万元", 3500, 4, "CNY"),
        ("一亿二千万元", 1.2, 8, "CNY"),
        ("3万5千元", 3.5, 4, "CNY"),
        ("两万", 2, 4, ""),
        ("十二点五", 12.5, 0, ""),
    ],
)
def test_a_number_keeps_its_scale_and_its_unit(
    text: str, written: float, exponent: int, kind: str
) -> None:
    """What is written, the power of ten that goes with it, and what it measures."""
    assert one(text) == Quantity(written, exponent, kind)


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("**1152**", 1152),
        ("约800", 800),
        ("≈160.1。", 160.1),
        ("$0.5$", 0.5),
        (r"\(13,710.107\)", 13710.107),
        (r"\text{about } 630", 630),
        (r"1,\!800", 1800),
        (r"1{,}390", 1390),
        (r"\frac{3}{8}", 0.375),
        (r"\frac{1}{1+\frac{1}{3}}", 0.75),
        (r"1.2\times 10^{5}", 120000),
        ("1.2×10⁵", 120000),
        ("3/8", 0.375),
        ("1264-1264/(1+0.145)=160.1", 160.1),
        ("R=R1+R2+R1R2=0.115+0.195+0.115/5=0.333", 0.333),
        ("3.89÷1.23≈3.1626", 3.1626),
        ("［155.8÷〔1＋18.8％〕］÷〔3003.1－553.1〕", 0.05352848),
        ("10 - 4", 6),
        ("NPV=23.5>0", 23.5),
        ("800（=1000/1.25）", 800),
        ("$788,948-$718,892", 70056),
        ("480 (in thousands of shares)", 480),
        ("13.5 rounded to 2 decimal places", 13.5),
        ("2022年营收为800", 800),
        ("2010年1－3月增长160.1", 160.1),
        ("160.1（保留2位小数）", 160.1),
    ],
)
def test_dress_and_dates_and_sums_do_not_matter(text: str, written: float) -> None:
    """Bold, LaTeX, prose, dates and rounding are not the number; a sum is worked out."""
    assert one(text).written == pytest.approx(written, rel=1e-6)


@pytest.mark.parametrize(
    ("text", "written", "exponent"),
    [("(1,234)", -1234, 0), ("$(9.8) million", -9.8, 6), ("(5%)", -5, -2), ("($12.5)", -12.5, 0)],
)
def test_brackets_alone_mean_below_zero(text: str, written: float, exponent: int) -> None:
    """As accounts write it."""
    assert (one(text).written, one(text).exponent) == (written, exponent)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "无法判断",
        "True",
        "800 or 900",
        "800或900万元",
        "800元，900元",
        "5-10",
        "5%-10%",
        "5~10万元",
        "5至10",
        "between 5 and 10",
        "100±5",
        "1,234,56",
        "1.2.3",
        "第3年",
        "R1",
        "2022年12月31日",
        "1/0",
        "9**9**9",
        "(" * 10_000,
        "9" * 1_000_000,
        "9" * 40,
        "1" + " " * MAX_CHARS,
    ],
)
def test_a_range_a_choice_and_a_bomb_are_no_quantity(text: str) -> None:
    """Whoever names two amounts has stated none, and nothing is guessed."""
    assert readings(text) == ()


def test_an_amount_may_be_said_in_two_ways() -> None:
    """0.08亿元 is 800万元, so both together are one statement."""
    assert readings("0.08亿元（即800万元）") == (
        Quantity(0.08, 8, "CNY"),
        Quantity(800, 4, "CNY"),
    )
    assert len(readings("17.9%（0.17895）")) == 2
    assert readings("800元（801元）") == ()


@pytest.mark.parametrize(
    ("answer", "reference"),
    [
        ("6.90", "6.9"),
        ("6.9%", "6.9"),
        ("6.9%", "0.069"),
        ("0.069", "6.9%"),
        ("0.08亿元", "800万元"),
        ("8,000,000元", "800万元"),
        ("800万元", "800"),
        ("50bp", "0.5%"),
        ("1.337倍", "133.7%"),
        ("$630", "630"),
        ("142.97", "143.0"),
        ("0.00", "0"),
    ],
)
def test_the_same_amount_agrees(answer: str, reference: str) -> None:
    """Where one side has no unit, the question had it; where both have, they are converted."""
    assert same(answer, reference)


@pytest.mark.parametrize(
    ("answer", "reference"),
    [
        ("3.81", "3.8"),
        ("-84.211", "84.211"),
        ("-100", "-1"),
        ("0.069", "6.9"),
        ("800元", "800万元"),
        ("800美元", "800元"),
        ("5%", "5元"),
        ("5年", "5个月"),
        ("0.069%", "6.9%"),
        ("0.001", "0"),
        ("0", "0.001"),
    ],
)
def test_another_amount_does_not(answer: str, reference: str) -> None:
    """Neither a sign, nor a scale, nor a unit is forgiven, nor more than the tolerance."""
    assert not same(answer, reference)


def test_the_tolerance_is_relative_to_the_reference() -> None:
    """0.2 % unless said otherwise, its edge included."""
    assert same("1002", "1000") and same("998", "1000")
    assert not same("1002.1", "1000")
    assert same("1010", "1000", 0.01)
    assert not same("1000.001", "1000", 0.0)
    assert same("1000", "1000", 0.0)


numbers = st.decimals(
    min_value=-(10**9), max_value=10**9, places=4, allow_nan=False, allow_infinity=False
)
scales = st.sampled_from(["", *(scale for scale in SCALES if not scale.isascii())])
units = st.sampled_from(["", *(unit for unit in UNITS if unit not in ("x", "成"))])


@given(number=numbers, scale=scales, unit=units, commas=st.booleans())
def test_what_is_formatted_is_read_back(number: float, scale: str, unit: str, commas: bool) -> None:
    """Any number with any scale and unit, with separators or without, is read as written."""
    space = " " if unit[:1].isascii() else ""
    text = f"{number:{',' if commas else ''}f}{scale}{space}{unit}"
    kind, power = UNITS.get(unit, ("", 0))
    expected = Quantity(float(number), SCALES.get(scale, 0) + power, kind)
    assert one(text) == expected
    assert agree(one(text), expected)


@given(
    st.text(
        alphabet=st.one_of(
            st.sampled_from(
                "0123456789.,，-+*/^()（）%％万亿千百元$\\{}年月日一二三点分之=≈~至 \n"
            ),
            st.characters(exclude_categories=("Cs",)),
        ),
        max_size=120,
    )
)
def test_any_text_can_be_read(text: str) -> None:
    """No text brings it down, and what is read is finite."""
    for quantity in readings(text):
        assert abs(quantity.amount) < float("inf")
