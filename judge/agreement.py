"""Statistics of agreement: a teacher with labels, with itself, and with the length of answers.

Shapes: N items, R bootstrap resamples, K distinct values. A figure that is not defined (one class
only, no spread) is 0.

Sources: Cohen, A coefficient of agreement for nominal scales (1960); Wilson, Probable inference
(1927); Efron and Tibshirani, An Introduction to the Bootstrap (1993), the percentile interval.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Places = NDArray[np.int64]
RESAMPLES = 2000
_Z95 = 1.959964


@dataclass(frozen=True, slots=True)
class Interval:
    """A figure and its 95 % interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Confusion:
    """Counts of items by label and by the teacher's verdict, each pass or fail."""

    true_pass: int
    false_pass: int
    false_fail: int
    true_fail: int

    @classmethod
    def of(cls, labels_N: Sequence[bool], passed_N: Sequence[bool]) -> Confusion:
        """The counts for N labels and the teacher's N verdicts; True means pass."""
        pairs = list(zip(labels_N, passed_N, strict=True))
        return cls(
            true_pass=pairs.count((True, True)),
            false_pass=pairs.count((False, True)),
            false_fail=pairs.count((True, False)),
            true_fail=pairs.count((False, False)),
        )

    @property
    def table(self) -> Floats:
        """Counts in the order true pass, false pass, false fail, true fail."""
        counts = (self.true_pass, self.false_pass, self.false_fail, self.true_fail)
        return np.asarray(counts, float)


def kappa(confusion: Confusion) -> float:
    """Cohen's kappa in [−1, 1]: agreement corrected for chance."""
    return float(_kappa(confusion.table))


def macro_f1(confusion: Confusion) -> float:
    """Mean of the F1 scores of both classes, in [0, 1]; a rare class counts as much."""
    return float(_macro_f1(confusion.table))


def kappa_interval(labels_N: Sequence[bool], passed_N: Sequence[bool], seed: int = 0) -> Interval:
    return _table_interval(_kappa, labels_N, passed_N, seed)


def macro_f1_interval(
    labels_N: Sequence[bool], passed_N: Sequence[bool], seed: int = 0
) -> Interval:
    return _table_interval(_macro_f1, labels_N, passed_N, seed)


def wilson(successes: int, total: int) -> Interval:
    """A share with Wilson's interval; with no trials 0 in [0, 1]."""
    if not total:
        return Interval(0.0, 0.0, 1.0)
    share, z2 = successes / total, _Z95**2
    centre = (share + z2 / (2 * total)) / (1 + z2 / total)
    spread = math.sqrt(share * (1 - share) / total + z2 / (4 * total**2))
    half = _Z95 / (1 + z2 / total) * spread
    return Interval(share, max(0.0, centre - half), min(1.0, centre + half))


def spearman(x_N: Sequence[float], y_N: Sequence[float]) -> float:
    """Rank correlation in [−1, 1]; ties share their mean rank."""
    return float(_spearman(x_N, y_N, np.arange(len(x_N))[None, :])[0])


def spearman_interval(x_N: Sequence[float], y_N: Sequence[float], seed: int = 0) -> Interval:
    picks_RN = _picks(len(x_N), seed)
    return _percentiles(spearman(x_N, y_N), _spearman(x_N, y_N, picks_RN))


def excess_correlation(
    scores_N: Sequence[float], labels_N: Sequence[float], lengths_N: Sequence[float], seed: int = 0
) -> Interval:
    """Spearman(scores, lengths) − Spearman(labels, lengths), in [−2, 2].

    Good answers may be longer than bad ones; only the excess is a preference for length.
    """
    picks_RN = _picks(len(scores_N), seed)
    of_scores_R = _spearman(scores_N, lengths_N, picks_RN)
    of_labels_R = _spearman(labels_N, lengths_N, picks_RN)
    value = spearman(scores_N, lengths_N) - spearman(labels_N, lengths_N)
    return _percentiles(value, of_scores_R - of_labels_R)


def mean_interval(values_N: Sequence[float]) -> Interval:
    """A mean with its normal-approximation interval; of a single value an interval of width 0."""
    values = np.asarray(values_N, float)
    mean = float(values.mean())
    if len(values) < 2:
        return Interval(mean, mean, mean)
    half = _Z95 * float(values.std(ddof=1)) / math.sqrt(len(values))
    return Interval(mean, mean - half, mean + half)


def _table_interval(
    statistic: Callable[[Floats], Any],
    labels_N: Sequence[bool],
    passed_N: Sequence[bool],
    seed: int,
) -> Interval:
    """The bootstrap interval of a statistic of the confusion table.

    Resampling items with replacement equals drawing the table's cells from a multinomial.
    """
    table = Confusion.of(labels_N, passed_N).table
    total = int(table.sum())
    if not total:
        return Interval(0.0, -1.0, 1.0)
    drawn = np.random.default_rng(seed).multinomial(total, table / total, size=RESAMPLES)
    return _percentiles(float(statistic(table)), statistic(drawn.astype(float)))


def _percentiles(value: float, values_R: Floats) -> Interval:
    low, high = np.percentile(values_R, [2.5, 97.5])
    return Interval(value, float(low), float(high))


def _kappa(tables: Floats) -> Floats:
    """Kappa of one table, or of R stacked ones."""
    a, b, c, d = np.moveaxis(tables, -1, 0)
    total = a + b + c + d
    observed = _ratio(a + d, total)
    chance = _ratio((a + b) * (a + c) + (c + d) * (b + d), total**2)
    return _ratio(observed - chance, 1 - chance)


def _macro_f1(tables: Floats) -> Floats:
    a, b, c, d = np.moveaxis(tables, -1, 0)
    return (_ratio(2 * a, 2 * a + b + c) + _ratio(2 * d, 2 * d + b + c)) / 2


def _ratio(top: Floats, bottom: Floats) -> Floats:
    """The quotient, 0 where `bottom` is 0."""
    top, bottom = np.broadcast_arrays(np.asarray(top, float), np.asarray(bottom, float))
    empty = np.isclose(bottom, 0.0)
    return np.where(empty, 0.0, top / np.where(empty, 1.0, bottom))


def _picks(size: int, seed: int) -> Places:
    """For each of R resamples the indices of its items."""
    return np.random.default_rng(seed).integers(0, size, size=(RESAMPLES, size))


def _spearman(x_N: Sequence[float], y_N: Sequence[float], picks_RN: Places) -> Floats:
    """The rank correlation in each resample; 0 where one side has no spread."""
    x_RN, y_RN = _centred_ranks(x_N, picks_RN), _centred_ranks(y_N, picks_RN)
    norms_R = np.sqrt((x_RN**2).sum(axis=1) * (y_RN**2).sum(axis=1))
    correlations_R: Floats = _ratio((x_RN * y_RN).sum(axis=1), norms_R).clip(-1.0, 1.0)
    return correlations_R


def _centred_ranks(values_N: Sequence[float], picks_RN: Places) -> Floats:
    """Ranks within each resample, minus their mean. They come from counts of the distinct values,
    so no resample needs sorting."""
    distinct, places_N = np.unique(np.asarray(values_N, float), return_inverse=True)
    places_RN = places_N[picks_RN]
    rows, kinds = len(picks_RN), len(distinct)
    offsets_R1 = kinds * np.arange(rows)[:, None]
    counts = np.bincount((places_RN + offsets_R1).ravel(), minlength=rows * kinds)
    counts_RK = counts.reshape(rows, kinds)
    ranks_RK = counts_RK.cumsum(axis=1) - (counts_RK - 1) / 2
    ranks_RN = np.take_along_axis(ranks_RK, places_RN, axis=1)
    centred_RN: Floats = ranks_RN - ranks_RN.mean(axis=1, keepdims=True)
    return centred_RN
