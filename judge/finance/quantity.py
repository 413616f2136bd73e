"""An amount as it was read, and when two are the same."""

from __future__ import annotations

from dataclasses import dataclass

from judge.finance.units import RATIO, alike, smallest

RELATIVE_TOLERANCE = 0.002
ABSOLUTE_TOLERANCE = 1e-9
"""Lets a number with rounding errors agree with 0."""


@dataclass(frozen=True, slots=True)
class Quantity:
    written: float
    """The number as written, without its scale."""
    exponent: int = 0
    """Power of ten of scale and unit: 4 for 万, -2 for %."""
    kind: str = ""
    """What the unit measures (`CNY`, `ratio`, `share`, …); empty without a unit."""
    bound: str = ""
    """`above` or `below`, if the number is only a bound."""
    per: str = ""
    """What it is counted by, such as 股."""
    tags: tuple[tuple[str, str], ...] = ()
    """Group and member for words that set the figure apart from another, such as 税前."""

    @property
    def amount(self) -> float:
        """In the smallest unit of its kind."""
        return self.written * 10.0**self.exponent * smallest(self.kind)

    @property
    def has_scale(self) -> bool:
        """Whether a power of ten was written that no ratio has: 万, million."""
        return self.exponent > 0

    @property
    def is_change(self) -> bool:
        """Whether it is a rise or a fall of a ratio."""
        return self.kind == RATIO and ("is", "change") in self.tags

    @property
    def is_multiple(self) -> bool:
        """Whether it is 1.5倍: no rise by 150 %, but one by 50 %."""
        return self.kind == RATIO and self.exponent == 0 and not self.is_change

    @property
    def grown(self) -> float:
        """The multiple that a change leads to."""
        return self.amount + self.is_change

    @property
    def has_unit(self) -> bool:
        return bool(self.kind) or self.exponent != 0


def agree(
    answer: Quantity,
    reference: Quantity,
    relative_tolerance: float = RELATIVE_TOLERANCE,
    scale: int | None = None,
) -> bool:
    """Whether an answer states the reference's amount.

    If both have a unit, the units count: 0.08亿元 is 800万元, and 5% is not 5元. If one has none,
    the question gave its unit: the other may agree as written (6.9% with 6.9) or in full (6.9% with
    0.069). A scale is never guessed: 800 is 800万元 only if the question asked for 万 (`scale`).
    """
    if answer.kind and reference.kind and not alike(answer.kind, reference.kind):
        return False
    if answer.bound != reference.bound or not _counted_alike(answer, reference):
        return False
    if answer.is_multiple != reference.is_multiple and (answer.is_change or reference.is_change):
        return close(answer.grown, reference.grown, relative_tolerance)
    if close(answer.amount, reference.amount, relative_tolerance):
        return True
    if answer.has_unit and reference.has_unit:
        return False
    if reference.has_scale and reference.exponent != scale:
        return False
    return close(answer.written, reference.written, relative_tolerance)


def _counted_alike(answer: Quantity, reference: Quantity) -> bool:
    mine, theirs = dict(answer.tags), dict(reference.tags)
    if any(mine[group] != theirs[group] for group in mine.keys() & theirs.keys()):
        return False
    has_units = answer.has_unit and reference.has_unit
    is_rate = answer.kind == reference.kind == RATIO and not (answer.per and reference.per)
    return answer.per == reference.per or is_rate or not has_units


def close(value: float, reference: float, relative: float) -> bool:
    # The extra 1e-9 keeps a number exactly at the tolerance inside it, despite rounding.
    allowed = relative * abs(reference) * (1 + 1e-9)
    return abs(value - reference) <= max(allowed, ABSOLUTE_TOLERANCE)
