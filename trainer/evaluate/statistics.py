"""Confidence intervals of means and of differences: the bootstrap over prompts.

Shapes: P prompts, R resamples. Source: Efron and Tibshirani, An Introduction to the Bootstrap
(1993), the percentile interval.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, slots=True)
class Interval:
    """A mean, or a mean difference, and its 95 % interval."""

    mean: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.mean:+.3f} [{self.low:+.3f}, {self.high:+.3f}]"


def paired_bootstrap(
    baseline_P: Sequence[float], candidate_P: Sequence[float], resamples: int, seed: int
) -> Interval:
    """95 % interval of mean(candidate − baseline), resampling whole prompts with replacement."""
    differences = [c - b for b, c in zip(baseline_P, candidate_P, strict=True)]
    return bootstrap(differences, resamples, seed)


def bootstrap(values_P: Sequence[float], resamples: int, seed: int) -> Interval:
    """95 % interval of the mean, resampling whole prompts with replacement."""
    array_P = np.asarray(values_P, float)
    rng = np.random.default_rng(seed)
    picks_RP = rng.integers(0, len(array_P), size=(resamples, len(array_P)))
    low, high = np.percentile(array_P[picks_RP].mean(axis=1), [2.5, 97.5])
    return Interval(float(array_P.mean()), float(low), float(high))


def win_tie_loss(
    baseline_P: Sequence[float], candidate_P: Sequence[float], margin: float = 1e-6
) -> tuple[int, int, int]:
    """The numbers of prompts on which the candidate wins, ties and loses."""
    differences = [c - b for b, c in zip(baseline_P, candidate_P, strict=True)]
    wins = sum(d > margin for d in differences)
    losses = sum(d < -margin for d in differences)
    return wins, len(differences) - wins - losses, losses
