"""What a call costs."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from galen.errors import RecipeError
from judge.teacher.prices import Prices

PRICES = Prices.load()
MODEL = "deepseek-flash"
MILLION = 1_000_000
FRIDAY = datetime(2026, 11, 20, tzinfo=UTC)
OFF_PEAK = FRIDAY.replace(hour=12)


def test_a_call_costs_what_the_table_says() -> None:
    """A million of each kind of token costs the table's three numbers."""
    cost = PRICES.cost_usd(MODEL, 2 * MILLION, MILLION, MILLION, OFF_PEAK)
    assert cost == pytest.approx(0.003 + 0.15 + 0.60)


@pytest.mark.parametrize(
    ("at", "factor"),
    [
        (FRIDAY, 1),
        (FRIDAY.replace(hour=0, minute=59, second=59), 1),
        (FRIDAY.replace(hour=1), 2),
        (FRIDAY.replace(hour=3, minute=59), 2),
        (FRIDAY.replace(hour=4), 1),
        (FRIDAY.replace(hour=5, minute=59), 1),
        (FRIDAY.replace(hour=6), 2),
        (FRIDAY.replace(hour=9, minute=59), 2),
        (FRIDAY.replace(hour=10), 1),
        (FRIDAY.replace(hour=2) + timedelta(days=1), 1),
        (FRIDAY.replace(hour=2) + timedelta(days=2), 1),
        (FRIDAY.replace(hour=2) + timedelta(days=3), 2),
        (FRIDAY.replace(hour=10, tzinfo=timezone(timedelta(hours=8))), 2),
    ],
)
def test_peak_hours_cost_double(at: datetime, factor: int) -> None:
    """Monday to Friday, 01 to 04 and 06 to 10 UTC, whatever zone a clock shows."""
    plain = PRICES.cost_usd(MODEL, MILLION, 0, 0)
    assert PRICES.cost_usd(MODEL, MILLION, 0, 0, at) == pytest.approx(factor * plain)


def test_on_both_sides_of_a_border_the_dearer_price_counts() -> None:
    """Nothing says whether a call is billed by its start or its end."""
    border = (FRIDAY.replace(hour=0, minute=59), FRIDAY.replace(hour=1))
    dear = PRICES.cost_usd(MODEL, MILLION, 0, 0, FRIDAY.replace(hour=2))
    assert PRICES.cost_usd(MODEL, MILLION, 0, 0, *border) == dear
    assert PRICES.most_usd(MODEL, [], MILLION, *border) == pytest.approx(2 * 0.6, rel=1e-4)


@given(st.text(alphabet=st.characters(exclude_categories=["Cs"]), min_size=40, max_size=200))
def test_no_call_costs_more_than_was_reserved(text: str) -> None:
    """A token is a byte at the least, nothing is cached, and the reply is as long as it may be."""
    most = PRICES.most_usd(MODEL, [text], 600, OFF_PEAK)
    tokens = len(text.encode())
    assert PRICES.cost_usd(MODEL, tokens, 0, 600, OFF_PEAK) <= most


def test_an_unlisted_model_costs_nothing() -> None:
    """A model of one's own is not billed by the token."""
    assert PRICES.cost_usd("my-own", 1000, 0, 1000, FRIDAY.replace(hour=2)) == 0.0
    assert PRICES.most_usd("my-own", ["x"], 600, OFF_PEAK) == 0.0


@pytest.mark.parametrize(
    ("table", "complaint"),
    [
        ("models: {}", "as_of"),
        ("as_of: 2026-11-01\nmodels: {m: {cache_hit: -1, cache_miss: 1, output: 1}}", "cache_hit"),
        (
            "as_of: 2026-11-01\nmodels: {m: {cache_hit: 1, cache_miss: 1, output: 1,"
            " peak: {factor: 2, days: [0], hours: [[22, 4]]}}}",
            "peak.hours.0",
        ),
        (
            "as_of: 2026-11-01\nmodels: {m: {cache_hit: 1, cache_miss: 1, output: 1,"
            " peak: {factor: 2, days: [7], hours: [[1, 4]]}}}",
            "peak.days.0",
        ),
    ],
)
def test_a_table_that_cannot_be_meant_is_refused(
    table: str, complaint: str, tmp_path: Path
) -> None:
    """Prices without a date, below zero, or with hours that are none."""
    path = tmp_path / "prices.yaml"
    path.write_text(table)
    with pytest.raises(RecipeError, match=complaint):
        Prices.load(path)
