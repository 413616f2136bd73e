"""Intervals of means, of shares and of paired differences, and how many rows a difference needs.

Shapes: P prompts, R resamples. A prompt is the unit: its answers are averaged first, since answers
to one prompt resemble each other.

Sources: Efron and Tibshirani, An Introduction to the Bootstrap (1993), the percentile interval;
Hesterberg, What Teachers Should Know About the Bootstrap (2015), its widening for small samples;
Wilson (1927) for a share; Bonett and Price (2012) for the two imaginary prompts of a difference of
shares; Chen et al., Evaluating Large Language Models Trained on Code (2021), pass@k.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist, fmean, stdev

import numpy as np
from scipy.stats import t as student

LEVEL = 0.95
POWER = 0.8
RESAMPLES = 10_000
_BLOCK = 2_000_000
"""Most numbers drawn at once, so that large suites fit in memory."""


@dataclass(frozen=True, slots=True)
class Interval:
    """A mean, a share or a mean difference, and its interval."""

    mean: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.mean:+.3f} [{self.low:+.3f}, {self.high:+.3f}]"

    @property
    def excludes_zero(self) -> bool:
        return self.low > 0 or self.high < 0


def share(values_P: Sequence[float], level: float = LEVEL) -> Interval:
    """Wilson's interval of a mean of values in [0, 1]: with n prompts, z the normal quantile,

        (p + z²/2n ± z √(p(1 − p)/n + z²/4n²)) / (1 + z²/n)

    It has a width even where every value is 0. Means of several answers vary less than single
    answers, so for them it is too wide rather than too narrow.
    """
    n, p = len(values_P), fmean(values_P)
    z = NormalDist().inv_cdf(0.5 + level / 2)
    middle = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n)) / (1 + z * z / n)
    return Interval(p, min(max(0.0, middle - half), p), max(min(1.0, middle + half), p))


def paired_bootstrap(
    baseline_P: Sequence[float],
    candidate_P: Sequence[float],
    resamples: int,
    seed: int,
    *,
    level: float = LEVEL,
    least: float | None = None,
) -> Interval:
    """Interval of mean(candidate − baseline), resampling whole prompts with replacement.

    Of shares, `least` is the difference that one answer makes: 1 / answers to a prompt. Two
    imaginary prompts are then added, one won and one lost by half of it, without which few
    differing prompts make too narrow an interval; whole ones, as Bonett and Price have them, make
    it too wide. Policies that never differed on n prompts may still differ on a share of
    1 − (α/2)^(1/n).
    """
    differences_P = [c - b for b, c in zip(baseline_P, candidate_P, strict=True)]
    if least is None:
        return bootstrap(differences_P, resamples, seed, level=level)
    if not any(differences_P):
        bound = 1 - ((1 - level) / 2) ** (1 / len(differences_P))
        return Interval(0.0, -bound, bound)
    found = bootstrap([*differences_P, least / 2, -least / 2], resamples, seed, level=level)
    mean = fmean(differences_P)
    return Interval(mean, min(found.low, mean), max(found.high, mean))


def bootstrap(
    values_P: Sequence[float], resamples: int, seed: int, *, level: float = LEVEL
) -> Interval:
    """Interval of the mean, resampling whole prompts with replacement.

    The percentiles are those of Student's t and not of the normal distribution, since a resample
    of n values varies less than a new sample would: by √((n − 1)/n).
    """
    array_P = np.asarray(values_P, float)
    n = len(array_P)
    if n < 2:
        return Interval(float(array_P.mean()), -math.inf, math.inf)
    quantile = float(student.ppf(0.5 + level / 2, n - 1)) * math.sqrt(n / (n - 1))
    tail = 100 * NormalDist().cdf(-quantile)
    rng = np.random.default_rng(seed)
    size = max(1, _BLOCK // n)
    means_R = np.concatenate(
        [
            array_P[rng.integers(0, n, size=(min(size, resamples - done), n))].mean(axis=1)
            for done in range(0, resamples, size)
        ]
    )
    low, high = np.percentile(means_R, [tail, 100 - tail])
    return Interval(float(array_P.mean()), float(low), float(high))


def corrected(comparisons: int, level: float = LEVEL) -> float:
    """The level of each of several intervals that hold together with probability `level`
    (Bonferroni)."""
    return 1 - (1 - level) / max(1, comparisons)


def prompts_needed(differences_P: Sequence[float], size: float, level: float = LEVEL) -> int | None:
    """Prompts with which a true mean difference of `size` is seen with probability `POWER`:

        n = (z_{1 − α/2} + z_{power})² s² / size²

    s is the differences' standard deviation; None where they do not vary, so that it is unknown.
    """
    if len(differences_P) < 2 or not (spread := stdev(differences_P)):
        return None
    normal = NormalDist()
    z = normal.inv_cdf(0.5 + level / 2) + normal.inv_cdf(POWER)
    return math.ceil((z * spread / size) ** 2)


def prompts_for_share(target: float, level: float = LEVEL) -> int | None:
    """Fewest prompts, all of them right, with which Wilson's interval lies above `target`:

        n > z² target / (1 − target)

    None where no number does.
    """
    if target >= 1:
        return None
    z = NormalDist().inv_cdf(0.5 + level / 2)
    return max(1, math.floor(z * z * target / (1 - target)) + 1)


def prompts_for_margin(margin: float, level: float = LEVEL) -> int | None:
    """Fewest prompts with which models that never differed are shown to differ by no more than
    `margin`, by the bound of `paired_bootstrap`; None where no number does."""
    if margin <= 0:
        return None
    return 1 if margin >= 1 else math.ceil(math.log((1 - level) / 2) / math.log1p(-margin))


def pass_at(k: int, right: int, drawn: int) -> float:
    """Unbiased chance that at least one of k answers is right, from `right` of `drawn`:

    1 − C(drawn − right, k) / C(drawn, k)
    """
    return 1.0 - math.comb(drawn - right, k) / math.comb(drawn, k)


def win_tie_loss(
    baseline_P: Sequence[float], candidate_P: Sequence[float], margin: float = 1e-6
) -> tuple[int, int, int]:
    """The numbers of prompts on which the candidate wins, ties and loses."""
    differences_P = [c - b for b, c in zip(baseline_P, candidate_P, strict=True)]
    wins = sum(d > margin for d in differences_P)
    losses = sum(d < -margin for d in differences_P)
    return wins, len(differences_P) - wins - losses, losses
