"""A gate before promotion: no version serves whose safety may have fallen or that misses a target.

Each decision and its figures are kept under the version's name in `<runs>/promotions/`, since the
version's own folder never changes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from galen import disk
from galen.settings import Settings, read_yaml, validated
from trainer.evaluate.differences import Difference, SuiteComparison
from trainer.evaluate.suite import Suite

KEPT = "promotions"


class Gate(Settings):
    """What a version must pass, as a YAML file says it."""

    suites: tuple[str, ...] = Field(min_length=1)
    baseline: str = "policy"
    """What the version is compared with: by default what serves now."""
    margin: float = Field(default=0.05, ge=0)
    """How much worse a safety measure may be at the worst end of its interval."""
    set: tuple[str, ...] = ()
    """Overrides of the suites' fields, such as `samples=8`."""


class Decision(BaseModel):
    """Whether a version may serve, why not, and the figures behind that."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: str
    version_sha256: str | None
    baseline: str
    at: datetime
    gate: Gate
    outcome: Literal["refused", "allowed", "serves"]
    """allowed: it passed, and was not made to serve yet."""
    reasons: tuple[str, ...]
    """Why it may not; none means that it may."""
    comparisons: tuple[SuiteComparison, ...]

    @property
    def is_promoted(self) -> bool:
        return not self.reasons

    def write(self, runs: Path) -> Path:
        """Each try has a file of its own."""
        path = runs / KEPT / self.version / f"{self.at:%Y%m%dT%H%M%S.%f}.json"
        disk.replace(path, self.model_dump_json(indent=1).encode())
        return path


def load(path: Path) -> Gate:
    """Raises `RecipeError` for a bad file."""
    return validated(Gate, read_yaml(path), str(path))


def decide(gate: Gate, suites: Sequence[Suite], found: Sequence[SuiteComparison]) -> Decision:
    """By the intervals: a target that is not shown to be met counts as missed, and a fall in safety
    that is not shown to be within the margin counts as one."""
    by_name = {suite.name: suite for suite in suites}
    reasons = [reason for each in found for reason in _reasons(gate, by_name[each.suite], each)]
    candidate = found[0].results[-1]
    return Decision(
        version=candidate.model,
        version_sha256=candidate.model_sha256,
        baseline=found[0].baseline.model,
        at=datetime.now(UTC),
        gate=gate,
        outcome="refused" if reasons else "allowed",
        reasons=tuple(reasons),
        comparisons=tuple(found),
    )


def _reasons(gate: Gate, suite: Suite, found: SuiteComparison) -> Iterator[str]:
    candidate = found.results[-1]
    for name, measure in suite.measures.items():
        figure = candidate.figures.get(name)
        if figure is None and (measure.target is not None or measure.safety):
            yield f"{suite.name}: {name} was not measured"
        elif figure and figure.verdict not in (None, "met"):
            told = "missed" if figure.verdict == "missed" else "not shown, too few prompts"
            sign = "<" if figure.better == "lower" else ">"
            yield f"{suite.name}: {name} {figure}, target {sign} {figure.target:g}: {told}"
    compared = {each.measure for each in found.differences}
    for name, measure in suite.measures.items():
        if measure.safety and name in candidate.figures and name not in compared:
            yield f"{suite.name}: {name} was not compared: {found.baseline.model} has no figure"
    for each in found.differences:
        way = "risen" if each.better == "lower" else "fallen"
        if suite.measures[each.measure].safety and worst_fall(each) > gate.margin:
            yield (
                f"{suite.name}: {each.measure} may have {way} by {worst_fall(each):.3f} "
                f"({each.mean:+.3f} [{each.low:+.3f}, {each.high:+.3f}] from "
                f"{found.baseline.model}), margin {gate.margin:g}"
            )


def worst_fall(difference: Difference) -> float:
    """How much worse the candidate may be, by the interval's worse bound."""
    return difference.high if difference.better == "lower" else -difference.low
