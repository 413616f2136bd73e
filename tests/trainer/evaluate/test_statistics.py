"""Laws of intervals and of how many prompts are needed."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from scipy import stats

from trainer.evaluate import statistics as ours


def test_a_constant_difference_has_an_interval_of_no_width() -> None:
    """When every prompt gains the same, there is nothing to be unsure of."""
    interval = ours.paired_bootstrap([0.0, 1.0, 5.0], [0.5, 1.5, 5.5], 500, seed=1)
    assert (interval.mean, interval.low, interval.high) == (0.5, 0.5, 0.5)


def test_shares_that_never_differed_keep_a_width() -> None:
    """Thirty equal pairs do not prove that two policies are equal."""
    interval = ours.paired_bootstrap([0.0] * 30, [0.0] * 30, 2000, seed=1, least=1.0)
    assert interval.mean == 0.0
    assert interval.high == -interval.low == pytest.approx(1 - 0.025 ** (1 / 30))


def test_a_single_prompt_says_nothing() -> None:
    """Its interval has no bounds."""
    assert ours.bootstrap([0.5], 100, 1) == ours.Interval(0.5, -math.inf, math.inf)


@pytest.mark.parametrize(("count", "of"), [(0, 30), (3, 30), (15, 30), (30, 30), (7, 1000)])
def test_a_share_has_wilsons_interval(count: int, of: int) -> None:
    """As SciPy computes it; nothing of 30 may still be one in nine."""
    interval = ours.share([1.0] * count + [0.0] * (of - count))
    theirs = stats.binomtest(count, of).proportion_ci(0.95, method="wilson")
    assert (interval.low, interval.high) == pytest.approx((theirs.low, theirs.high), abs=1e-9)


def test_the_bootstrap_is_scipys_but_for_its_widening() -> None:
    """Beside SciPy's percentile interval of many prompts."""
    values = np.random.default_rng(3).normal(0.3, 1.0, 400)
    interval = ours.bootstrap(list(values), 4000, seed=1)
    theirs = stats.bootstrap(
        (values,), np.mean, n_resamples=4000, method="percentile", rng=np.random.default_rng(2)
    ).confidence_interval
    assert (interval.low, interval.high) == pytest.approx((theirs.low, theirs.high), abs=0.01)


def test_the_chance_of_one_right_answer_is_unbiased() -> None:
    """The mean of pass@k over all draws of n is the true 1 − (1 − p)^k."""
    p, n, k = 0.3, 6, 2
    mean = sum(stats.binom.pmf(c, n, p) * ours.pass_at(k, c, n) for c in range(n + 1))
    assert mean == pytest.approx(1 - (1 - p) ** k)


def test_as_many_prompts_as_are_needed_show_the_difference() -> None:
    """With the number that is named, four of five draws exclude 0."""
    rng = np.random.default_rng(4)
    needed = ours.prompts_needed(list(rng.normal(0, 1.0, 5000)), 0.4)
    assert needed is not None
    draws = rng.normal(0.4, 1.0, (4000, needed))
    z = draws.mean(1) / (draws.std(1, ddof=1) / math.sqrt(needed))
    assert (z > 1.96).mean() == pytest.approx(0.8, abs=0.03)


@pytest.mark.parametrize("target", [0.5, 0.75, 0.9, 0.95])
def test_one_prompt_fewer_could_not_meet_the_target(target: float) -> None:
    """All right, so many prompts pass it by the interval's bound, and one fewer do not."""
    least = ours.prompts_for_share(target)
    assert least is not None
    assert ours.share([1.0] * least).low > target >= ours.share([1.0] * (least - 1)).low
    assert ours.prompts_for_share(1.0) is None


@pytest.mark.parametrize("level", [0.95, 0.99])
def test_one_prompt_fewer_could_not_show_models_to_be_alike(level: float) -> None:
    """Never different, so many prompts bound the difference by the margin, and one fewer do not."""

    def bound(prompts: int) -> float:
        same_P = [1.0] * prompts
        return ours.paired_bootstrap(same_P, same_P, 1, 0, level=level, least=1.0).high

    least = ours.prompts_for_margin(0.05, level)
    assert least is not None
    assert bound(least) <= 0.05 < bound(least - 1)
    assert ours.prompts_for_margin(0.0) is None


def test_wins_ties_and_losses_are_counted_by_prompt() -> None:
    """Each prompt is one vote."""
    assert ours.win_tie_loss([1.0, 1.0, 1.0, 0.0], [2.0, 1.0, 0.0, 3.0]) == (2, 1, 1)


Draw = Callable[[np.random.Generator], tuple[np.ndarray, np.ndarray]]
PROMPTS = 60


def rewards(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    before = rng.normal(0, 1, PROMPTS)
    return before, before + 0.3 + rng.normal(0, 0.5, PROMPTS)


def rare(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Violations in four answers to each prompt, mostly none."""
    chance = rng.beta(0.3, 3, PROMPTS)
    return rng.binomial(4, chance) / 4, rng.binomial(4, chance) / 4


def exam(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """One answer each, right or wrong; 30 % are answered anew, more of them right."""
    before = rng.binomial(1, 0.6, PROMPTS)
    return before, np.where(rng.random(PROMPTS) < 0.7, before, rng.binomial(1, 0.7, PROMPTS))


@pytest.mark.prove
@pytest.mark.parametrize(
    ("draw", "true", "least"), [(rewards, 0.3, None), (rare, 0.0, 0.25), (exam, 0.03, 1.0)]
)
def test_the_interval_covers_the_truth_as_often_as_it_says(
    draw: Draw, true: float, least: float | None
) -> None:
    """Of 1,000 synthetic comparisons the 95 % interval holds the true difference in 93 to 97 %."""
    rng = np.random.default_rng(5)
    covered = 0
    for seed in range(1000):
        before, after = draw(rng)
        found = ours.paired_bootstrap(list(before), list(after), 1000, seed, least=least)
        covered += found.low <= true <= found.high
    print(f"{draw.__name__}: {covered / 10:.1f} %")
    assert 930 <= covered <= 970
