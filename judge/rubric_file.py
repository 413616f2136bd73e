"""`rubric.yaml` as written: weights, dimensions, gate, clamp and rules, checked as a whole."""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from galen.records import NonBlank
from galen.settings import Settings
from judge.prechecks import PRECHECKS
from judge.rules import DETECTORS, TOKEN_RULES, TOLERANCE_RULES

Reads = Literal["answer", "reasoning", "both"]
"""Which part of a response a dimension is judged by, and its evidence quoted from."""

_RESERVED = frozenset({"overall", "why", "evidence"})


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
    """A plain number is a weight, and what it weighs is judged by the answer."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return {"weight": value} if is_number else value


class Weights(Settings):
    """Shares of the reward; they sum to 1. A teacher who weighs nothing is never asked."""

    rules: float = Field(ge=0, le=1)
    teacher: float = Field(ge=0, le=1)

    @model_validator(mode="after")
    def _sum_to_one(self) -> Self:
        if not math.isclose(self.rules + self.teacher, 1.0):
            raise ValueError("rules and teacher must sum to 1")
        return self


class Dimension(Settings):
    """One thing that the teacher scores: its share of the overall score, and what it is read in."""

    weight: float = Field(gt=0, le=1)
    reads: Reads = "answer"


class RuleEntry(Settings):
    """One rule as a rubric uses it: its effect on the rule score, and whether a hit is a flag."""

    rule: Annotated[str, AfterValidator(_known_rule)]
    effect: float = Field(allow_inf_nan=False)
    flag: bool = False
    below_tokens: int | None = Field(default=None, ge=1)
    """For the rules about length: fewer tokens than this is a hit."""
    tolerance_bp: int | None = Field(default=None, ge=0, le=10_000)
    """For the rules that compare numbers: how far apart still agree, in hundredths of a percent of
    the reference."""

    @property
    def threshold(self) -> int | None:
        """The number that the rule takes, whatever it is called."""
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
    """What no other score makes up for.

    A teacher's score of `dimension` at or below `at_most` makes the whole teacher score 0. Such an
    answer, like one with any flag, is never rewarded above `reward_cap`. Where no teacher is asked
    the gate may name no dimension: then it holds for flags alone.
    """

    dimension: str | None = None
    at_most: float = Field(default=0.0, ge=0, le=1)
    reward_cap: float = Field(default=0.0, allow_inf_nan=False)


class RubricFile(Settings):
    """`rubric.yaml`. Dimensions and gate may be left out where no teacher is asked."""

    description: NonBlank
    weights: Weights
    dimensions: dict[
        Annotated[str, AfterValidator(_usable_dimension)],
        Annotated[Dimension, BeforeValidator(_written_short)],
    ] = Field(default_factory=dict)
    clamp: tuple[float, float]
    gate: Gate | None = None
    rules: tuple[RuleEntry, ...]
    prechecks: tuple[Annotated[str, AfterValidator(_known_precheck)], ...] = tuple(PRECHECKS)
    """What keeps an answer from the teacher. All of it, unless a rubric names fewer."""

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
        return self

    @model_validator(mode="after")
    def _judged_by_whom(self) -> Self:
        if self.asks_teacher and not self.dimensions:
            raise ValueError("dimensions are needed where weights.teacher is above 0")
        if self.asks_teacher and (self.gate is None or self.gate.dimension is None):
            raise ValueError("gate.dimension is needed where weights.teacher is above 0")
        shares = [dimension.weight for dimension in self.dimensions.values()]
        if shares and not math.isclose(math.fsum(shares), 1.0):
            raise ValueError("the weights of the dimensions must sum to 1")
        if self.gate is None and any(entry.flag for entry in self.rules):
            raise ValueError("gate is needed where a rule is a flag: its reward_cap holds for them")
        gated = self.gate.dimension if self.gate else None
        if gated is not None and gated not in self.dimensions:
            raise ValueError(f"gate.dimension {gated!r} is none of the dimensions")
        return self
