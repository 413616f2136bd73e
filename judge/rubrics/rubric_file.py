"""The schema of `rubric.yaml`: weights, dimensions, gate, clamp and rules."""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from galen.records import NonBlank
from galen.settings import Settings
from judge.attacks.prechecks import PRECHECKS
from judge.rules.registry import DANGERS, DETECTORS, TOKEN_RULES, TOLERANCE_RULES

Reads = Literal["answer", "reasoning", "both"]
"""The part of a response that a dimension judges and quotes as evidence."""

_RESERVED = frozenset({"overall", "why", "evidence", "dangers"})


def _known_rule(name: str) -> str:
    if name not in DETECTORS:
        raise ValueError(f"no rule {name!r}; known are {', '.join(sorted(DETECTORS))}")
    return name


def _known_precheck(name: str) -> str:
    if name not in PRECHECKS:
        raise ValueError(f"no pre-check {name!r}; known are {', '.join(sorted(PRECHECKS))}")
    return name


def _usable_dimension(name: str) -> str:
    if not name.isidentifier() or name in _RESERVED:
        raise ValueError(f"{name!r} cannot name a dimension")
    return name


def _written_short(value: Any) -> Any:
    """A plain number is a dimension's weight; it then reads the answer."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return {"weight": value} if is_number else value


class Weights(Settings):
    """Shares of the reward; they sum to 1. A teacher of weight 0 is never asked."""

    rules: float = Field(ge=0, le=1)
    teacher: float = Field(ge=0, le=1)

    @model_validator(mode="after")
    def _sum_to_one(self) -> Self:
        if not math.isclose(self.rules + self.teacher, 1.0):
            raise ValueError("rules and teacher must sum to 1")
        return self


class Dimension(Settings):
    """What the teacher scores: the share of the overall score, and the part that it reads."""

    weight: float = Field(gt=0, le=1)
    reads: Reads = "answer"


class RuleEntry(Settings):
    """One rule in a rubric: its effect on the rules' total, and whether a hit is a flag."""

    rule: Annotated[str, AfterValidator(_known_rule)]
    effect: float = Field(allow_inf_nan=False)
    flag: bool = False
    below_tokens: int | None = Field(default=None, ge=1)
    """For rules about length: fewer tokens are a hit."""
    tolerance_bp: int | None = Field(default=None, ge=0, le=10_000)
    """For rules that compare numbers: the relative tolerance in basis points (0.01 %)."""

    @property
    def threshold(self) -> int | None:
        """The rule's one number, under either name."""
        return self.tolerance_bp if self.below_tokens is None else self.below_tokens

    @model_validator(mode="after")
    def _threshold_where_needed(self) -> Self:
        if (self.rule in TOKEN_RULES) != (self.below_tokens is not None):
            verb = "needs" if self.rule in TOKEN_RULES else "takes no"
            raise ValueError(f"the rule {self.rule} {verb} below_tokens")
        if self.tolerance_bp is not None and self.rule not in TOLERANCE_RULES:
            raise ValueError(f"the rule {self.rule} takes no tolerance_bp")
        return self


class Gate(Settings):
    """Keeps unsafe answers below all others, so that no other score buys safety back.

    If the teacher's score of `dimension` is `at_most` or lower, its overall score is 0. Such an
    answer, and any flagged one, earns at least `margin` less than the lowest reward that the rubric
    can give to a sound answer. Where no teacher is asked there may be no `dimension`; then only
    flags count.
    """

    dimension: str | None = None
    at_most: float = Field(default=0.0, ge=0, lt=1)
    margin: float = Field(default=0.05, gt=0, le=1)


class PanelRule(Settings):
    """How several teachers' verdicts become one (`judge.teacher.panel`)."""

    combine: Literal["mean", "vote"] = "mean"
    minimum: int | None = Field(default=None, ge=1)
    """Fewest members that must judge; None: all."""


class RubricFile(Settings):
    """`rubric.yaml`. Where no teacher is asked, dimensions and gate may be left out."""

    description: NonBlank
    weights: Weights
    criteria: bool = False
    """Whether the teacher grades criteria, the rubric's and each item's, in place of dimensions."""
    dimensions: dict[
        Annotated[str, AfterValidator(_usable_dimension)],
        Annotated[Dimension, BeforeValidator(_written_short)],
    ] = Field(default_factory=dict)
    clamp: tuple[float, float]
    gate: Gate | None = None
    rules: tuple[RuleEntry, ...]
    dangers: tuple[str, ...] = ()
    """Rules about danger that the teacher is asked about too, each as yes or no."""
    prechecks: tuple[Annotated[str, AfterValidator(_known_precheck)], ...] = tuple(PRECHECKS)
    """The pre-checks that keep an answer from the teacher; all by default."""

    panel: PanelRule = PanelRule()

    @property
    def asks_teacher(self) -> bool:
        return self.weights.teacher > 0

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if not self.clamp[0] < self.clamp[1]:
            raise ValueError("clamp must be [low, high] with low < high")
        names = [entry.rule for entry in self.rules]
        if len(set(names)) != len(names):
            raise ValueError("a rule is listed twice")
        if not self.asks_teacher and not self.rules:
            raise ValueError("rules must not be empty where weights.teacher is 0")
        flags = {entry.rule for entry in self.rules if entry.flag}
        if unknown := [name for name in self.dangers if name not in flags & DANGERS.keys()]:
            raise ValueError(
                f"dangers: {', '.join(unknown)} must be a rule about danger, listed with flag: true"
            )
        return self

    @model_validator(mode="after")
    def _teacher_consistent(self) -> Self:
        scores = self.asks_teacher and not self.criteria
        if self.criteria and not self.asks_teacher:
            raise ValueError("criteria need a teacher: weights.teacher must be above 0")
        if self.criteria and (self.dimensions or self.dangers):
            raise ValueError("dimensions and dangers are not asked where criteria are graded")
        if scores and not self.dimensions:
            raise ValueError("dimensions are needed where weights.teacher is above 0")
        if scores and (self.gate is None or self.gate.dimension is None):
            raise ValueError("gate.dimension is needed where weights.teacher is above 0")
        shares = [dimension.weight for dimension in self.dimensions.values()]
        if shares and not math.isclose(math.fsum(shares), 1.0):
            raise ValueError("the weights of the dimensions must sum to 1")
        if self.gate is None and any(entry.flag for entry in self.rules):
            raise ValueError(
                "gate is needed where a rule is a flag: it says what flagged answers may earn"
            )
        gated = self.gate.dimension if self.gate else None
        if gated is not None and gated not in self.dimensions:
            raise ValueError(f"gate.dimension {gated!r} is not one of the dimensions")
        return self
