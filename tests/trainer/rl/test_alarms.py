"""Laws of alarms."""

from __future__ import annotations

from typing import Any

import pytest

from trainer.recipes import Alarms
from trainer.rl import alarms

SOUND: dict[str, Any] = {
    "entropy": 1.2, "kl": 0.4, "repetition": 0.1, "cut_off_share": 0.0, "tokens_mean": 90.0,
    "flat_groups": 0.2, "mismatch_kl": 0.001, "reward_mean": 0.3, "reward_std": 0.2,
}  # fmt: skip


def test_a_sound_batch_raises_none() -> None:
    """Nor does one whose figures are not known."""
    assert alarms.raised([SOUND], Alarms()) == []
    assert alarms.raised([{"reward_mean": 0.1}], Alarms()) == []


@pytest.mark.parametrize(
    ("figure", "value"),
    [
        ("entropy", 0.001), ("kl", -3.0), ("repetition", 0.8), ("cut_off_share", 0.9),
        ("flat_groups", 1.0), ("mismatch_kl", 0.4),
    ],
)  # fmt: skip
def test_each_figure_beyond_its_bound_is_named(figure: str, value: float) -> None:
    """With the value, the bound, and what it means; a bound of None is none."""
    (alarm,) = alarms.raised([{**SOUND, figure: value}], Alarms())
    assert alarm.startswith(f"{figure} {value:.3g} is ")
    off = Alarms(**dict.fromkeys(Alarms.model_fields))
    assert alarms.raised([{**SOUND, figure: value}], off) == []


def test_length_has_no_bound_unless_it_is_given() -> None:
    """How long answers should be depends on the task."""
    assert alarms.raised([{**SOUND, "tokens_mean": 1e6}], Alarms()) == []
    assert len(alarms.raised([SOUND], Alarms(tokens=50.0))) == 1


def test_a_part_of_the_reward_that_stands_still_is_named() -> None:
    """For as many batches as the bound says; the spread is no part."""
    rows = [{**SOUND, "reward_mean": 0.1 * n, "reward_exact": 0.3} for n in range(3)]
    (alarm,) = alarms.raised(rows, Alarms(still=3))
    assert alarm.startswith("reward_exact has not moved for 3 batches")
    assert alarms.raised(rows, Alarms(still=4)) == []
