"""The score of an answer by criteria, each of which has points for it or against it.

Source: Arora et al., HealthBench (2025). The score is the share of all points to be had,

    sum(points of the criteria met) / sum(points above 0)

which is below 0 where more is done wrong than right.
"""

from __future__ import annotations

from collections.abc import Iterable


def score(graded: Iterable[tuple[float, bool]]) -> float:
    """The share of all positive points that an answer has, not clipped; `graded` has for each
    criterion its points and whether it is met."""
    pairs = list(graded)
    possible = sum(points for points, _ in pairs if points > 0)
    return round(sum(points for points, met in pairs if met) / possible, 6)
