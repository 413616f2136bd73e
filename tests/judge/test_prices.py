"""What a call costs."""

from __future__ import annotations

from pathlib import Path

import pytest

from galen.errors import RecipeError
from judge.prices import Prices


def test_a_call_costs_what_the_table_says() -> None:
    """A million of each kind of token costs the table's three numbers."""
    prices = Prices.load()
    million = 1_000_000
    cost = prices.cost_usd("deepseek-flash", 2 * million, million, million)
    assert cost == pytest.approx(0.003 + 0.15 + 0.60)


def test_an_unlisted_model_costs_nothing() -> None:
    """A model of one's own is not billed by the token."""
    assert Prices.load().cost_usd("my-own", 1000, 0, 1000) == 0.0


def test_a_table_without_a_date_is_refused(tmp_path: Path) -> None:
    """Prices without a date cannot be trusted."""
    table = tmp_path / "prices.yaml"
    table.write_text("models: {}\n")
    with pytest.raises(RecipeError, match="as_of"):
        Prices.load(table)
