"""Laws of the paired comparison."""

from __future__ import annotations

import random

from trainer.evaluate.statistics import paired_bootstrap, win_tie_loss


def test_a_constant_difference_has_an_interval_of_no_width() -> None:
    """When every prompt gains the same, there is nothing to be unsure of."""
    interval = paired_bootstrap([0.0, 1.0, 5.0], [0.5, 1.5, 5.5], 500, seed=1)
    assert (interval.mean, interval.low, interval.high) == (0.5, 0.5, 0.5)


def test_the_interval_covers_the_truth_about_as_often_as_it_says() -> None:
    """In 200 draws the 95 % interval holds the true difference 88 to 99 % of the time."""
    rng = random.Random(5)
    covered = 0
    for seed in range(200):
        baseline = [rng.gauss(0, 1) for _ in range(40)]
        candidate = [b + 0.3 + rng.gauss(0, 0.5) for b in baseline]
        interval = paired_bootstrap(baseline, candidate, 400, seed)
        covered += interval.low <= 0.3 <= interval.high
    assert 176 <= covered <= 198


def test_wins_ties_and_losses_are_counted_by_prompt() -> None:
    """Each prompt is one vote."""
    assert win_tie_loss([1.0, 1.0, 1.0, 0.0], [2.0, 1.0, 0.0, 3.0]) == (2, 1, 1)
