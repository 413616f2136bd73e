"""How well a teacher agrees with labels, with itself, and with the length of what it reads.

Shapes: N items, R bootstrap resamples. Nothing here knows of services or files. Where a figure is
not defined (one class only, no spread) it is the value that shows nothing: 0.

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
    """Counts of items by label (pass or fail) and by what the teacher made of them."""

    true_pass: int
    false_pass: int
    false_fail: int
    true_fail: int

    @classmethod
    def of(cls, labels_N: Sequence[bool], passed_N: Sequence[bool]) -> Confusion:
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
    """Cohen's kappa in [−1, 1]: agreement beyond what the two shares of passes give by chance."""
    return float(_kappa(confusion.table))


def macro_f1(confusion: Confusion) -> float:
    """Mean of the F1 of passing and the F1 of failing: balanced, whichever class is the rarer."""
    return float(_macro_f1(confusion.table))


def kappa_interval(labels_N: Sequence[bool], passed_N: Sequence[bool], seed: int = 0) -> Interval:
    return _table_interval(_kappa, labels_N, passed_N, seed)


def macro_f1_interval(
    labels_N: Sequence[bool], passed_N: Sequence[bool], seed: int = 0
) -> Interval:
    return _table_interval(_macro_f1, labels_N, passed_N, seed)


def wilson(successes: int, total: int) -> Interval:
    """A share with Wilson's interval; of nothing, 0 within [0, 1]."""
    if not total:
        return Interval(0.0, 0.0, 1.0)
    share, z2 = successes / total, _Z95**2
    centre = (share + z2 / (2 * total)) / (1 + z2 / total)
    spread = math.sqrt(share * (1 - share) / total + z2 / (4 * total**2))
    half = _Z95 / (1 + z2 / total) * spread
    return Interval(share, max(0.0, centre - half), min(1.0, centre + half))


def spearman(x_N: Sequence[float], y_N: Sequence[float]) -> float:
    """Rank correlation in [−1, 1]; ties share their mean rank."""
    return _correlation(_ranks(np.asarray(x_N, float)), _ranks(np.asarray(y_N, float)))


def spearman_interval(x_N: Sequence[float], y_N: Sequence[float], seed: int = 0) -> Interval:
    return bootstrap([x_N, y_N], lambda x, y: spearman(x, y), seed)


def excess_correlation(
    scores_N: Sequence[float], labels_N: Sequence[float], lengths_N: Sequence[float], seed: int = 0
) -> Interval:
    """How much more the scores go with length than the labels do (a difference of Spearmans).

    Good answers may well be longer than bad ones; only what goes beyond that is a preference.
    """
    return bootstrap(
        [scores_N, labels_N, lengths_N],
        lambda scores, labels, lengths: spearman(scores, lengths) - spearman(labels, lengths),
        seed,
    )


def mean_interval(values_N: Sequence[float]) -> Interval:
    """A mean with the interval of the normal approximation; of one value, the value alone."""
    values = np.asarray(values_N, float)
    mean = float(values.mean())
    if len(values) < 2:
        return Interval(mean, mean, mean)
    half = _Z95 * float(values.std(ddof=1)) / math.sqrt(len(values))
    return Interval(mean, mean - half, mean + half)


def bootstrap(
    columns: Sequence[Sequence[float]], statistic: Callable[..., float], seed: int
) -> Interval:
    """`statistic` of the columns with its percentile interval over resampled rows."""
    arrays = [np.asarray(column, float) for column in columns]
    size = len(arrays[0])
    rng = np.random.default_rng(seed)
    picks_RN = rng.integers(0, size, size=(RESAMPLES, size))
    values_R = [statistic(*(array[picks] for array in arrays)) for picks in picks_RN]
    return _percentiles(statistic(*arrays), np.asarray(values_R, float))


def _table_interval(
    statistic: Callable[[Floats], Any],
    labels_N: Sequence[bool],
    passed_N: Sequence[bool],
    seed: int,
) -> Interval:
    """The interval of a figure that depends on the table of counts alone.

    Drawing items with replacement is drawing their cells from a multinomial.
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
    """Of one table, or of R of them stacked."""
    a, b, c, d = np.moveaxis(tables, -1, 0)
    total = a + b + c + d
    observed = _ratio(a + d, total)
    chance = _ratio((a + b) * (a + c) + (c + d) * (b + d), total**2)
    return _ratio(observed - chance, 1 - chance)


def _macro_f1(tables: Floats) -> Floats:
    a, b, c, d = np.moveaxis(tables, -1, 0)
    return (_ratio(2 * a, 2 * a + b + c) + _ratio(2 * d, 2 * d + b + c)) / 2


def _ratio(top: Floats, bottom: Floats) -> Floats:
    """Their quotient, and 0 where there is nothing to divide by."""
    top, bottom = np.broadcast_arrays(np.asarray(top, float), np.asarray(bottom, float))
    empty = np.isclose(bottom, 0.0)
    return np.where(empty, 0.0, top / np.where(empty, 1.0, bottom))


def _ranks(values: Floats) -> Floats:
    _, places, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    ranks: Floats = (last - (counts - 1) / 2)[places]
    return ranks


def _correlation(x: Floats, y: Floats) -> float:
    x, y = x - x.mean(), y - y.mean()
    norm = math.sqrt(float(x @ x) * float(y @ y))
    return min(max(float(x @ y) / norm, -1.0), 1.0) if norm else 0.0
