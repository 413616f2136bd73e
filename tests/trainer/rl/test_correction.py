"""Laws of what makes up for the difference between engine and trainer.

Shapes: B completions, C tokens.
"""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch

from trainer.recipes import Correction
from trainer.rl import correction

LOG2 = math.log(2)
TRAINER = torch.tensor([[0.0, LOG2, 2 * LOG2], [-LOG2, -2 * LOG2, 7.0]])
ENGINE = torch.zeros(2, 3)
MASK = torch.tensor([[1.0, 1.0, 1.0], [1.0, 1.0, 0.0]])


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, [[1, 2, 2], [0.5, 0.25, 0]]),
        ({"low": 0.5, "high": 2.0}, [[1, 2, 2], [0.5, 0.5, 0]]),
        ({"mode": "mask", "low": 0.5, "high": 2.0}, [[1, 2, 0], [0.5, 0, 0]]),
        ({"level": "sequence", "high": 3.0}, [[3, 3, 3], [0.125, 0.125, 0]]),
        ({"level": "sequence", "mode": "mask", "high": 3.0}, [[0, 0, 0], [0.125, 0.125, 0]]),
        ({"level": "geometric", "high": 3.0}, [[2, 2, 2], [2**-1.5, 2**-1.5, 0]]),
        ({"level": "geometric", "mode": "mask", "low": 0.99, "high": 1.01}, [[0] * 3, [0] * 3]),
    ],
)
def test_weights_by_hand(fields: dict[str, Any], expected: list[list[float]]) -> None:
    """Ratios of 1, 2, 4 in one completion and ½, ¼ in another, each bound at its level."""
    found = correction.weights(TRAINER, ENGINE, MASK, Correction(**fields))
    assert torch.allclose(torch.tensor(expected, dtype=torch.float32), found)


def test_an_engine_that_agrees_needs_no_correction() -> None:
    """All weights are 1 and nothing differs."""
    for level in ("token", "sequence", "geometric"):
        found = correction.weights(TRAINER, TRAINER, MASK, Correction(level=level))
        assert torch.equal(MASK, found)
    figures = correction.mismatch(TRAINER, TRAINER, MASK)
    assert figures == {"mismatch": 0.0, "mismatch_kl": 0.0, "ratio_max": 1.0, "ess": 1.0}


def test_the_mismatch_by_hand() -> None:
    """Over real tokens alone, with ratios 1, 2, 4, ½, ¼."""
    ratios = [1, 2, 4, 0.5, 0.25]
    figures = correction.mismatch(TRAINER, ENGINE, MASK)
    assert figures["mismatch"] == pytest.approx(6 * LOG2 / 5)
    assert figures["mismatch_kl"] == pytest.approx((sum(ratios) - 5) / 5)
    assert figures["ratio_max"] == pytest.approx(4)
    assert figures["ess"] == pytest.approx(sum(ratios) ** 2 / (5 * sum(r * r for r in ratios)))


def test_bounds_hold_one_between_them() -> None:
    """Else even an engine that agrees would be corrected."""
    with pytest.raises(ValueError, match="`low` must be at most 1"):
        Correction(low=1.5)
