"""A rubric: what is judged, how heavily, and what can never be bought back.

A rubric is a folder: `rubric.yaml` (weights, dimensions, rules, gate, clamp) and `prompt.txt` (what
the teacher is asked). Weights, clamp and gate are applied here, on reading: a stored verdict holds
for any of them.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Annotated, Self

from pydantic import AfterValidator, Field, model_validator

from galen import digest
from galen.errors import NotFound, RecipeError
from galen.records import NonBlank
from galen.settings import Settings, read_yaml, validated
from judge.rules import DETECTORS, TOKEN_RULES
from judge.schemas import RubricCard, RuleHit, RuleVerdict
from judge.template import Template

_RESERVED = frozenset({"overall", "why"})


def _known_rule(name: str) -> str:
    if name not in DETECTORS:
        raise ValueError(f"no rule {name!r}; known are {', '.join(sorted(DETECTORS))}")
    return name


def _usable_dimension(name: str) -> str:
    if not name.isidentifier() or name in _RESERVED:
        raise ValueError(f"{name!r} cannot name a dimension")
    return name


class Weights(Settings):
    """Shares of the reward; they sum to 1."""

    rules: float = Field(ge=0, le=1)
    teacher: float = Field(ge=0, le=1)

    @model_validator(mode="after")
    def _sum_to_one(self) -> Self:
        if not math.isclose(self.rules + self.teacher, 1.0):
            raise ValueError("rules and teacher must sum to 1")
        return self


class RuleEntry(Settings):
    """One rule as a rubric uses it: its effect on the rule score, and whether a hit is a flag."""

    rule: Annotated[str, AfterValidator(_known_rule)]
    effect: float
    flag: bool = False
    below_tokens: int | None = Field(default=None, ge=1)
    """For the rules about length: fewer tokens than this is a hit."""

    @model_validator(mode="after")
    def _threshold_where_needed(self) -> Self:
        if (self.rule in TOKEN_RULES) != (self.below_tokens is not None):
            verb = "needs" if self.rule in TOKEN_RULES else "takes no"
            raise ValueError(f"the rule {self.rule} {verb} below_tokens")
        return self


class Gate(Settings):
    """What no other score makes up for.

    A teacher's score of `dimension` at or below `at_most` makes the whole teacher score 0. Such an
    answer, like one with any flag, is never rewarded above `reward_cap`.
    """

    dimension: str
    at_most: float = Field(default=0.0, ge=0, le=1)
    reward_cap: float = 0.0


class RubricFile(Settings):
    """`rubric.yaml`."""

    description: NonBlank
    weights: Weights
    dimensions: dict[
        Annotated[str, AfterValidator(_usable_dimension)], Annotated[float, Field(gt=0, le=1)]
    ] = Field(min_length=1)
    clamp: tuple[float, float]
    gate: Gate
    rules: tuple[RuleEntry, ...]

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if not math.isclose(sum(self.dimensions.values()), 1.0):
            raise ValueError("the weights of the dimensions must sum to 1")
        if self.gate.dimension not in self.dimensions:
            raise ValueError(f"gate.dimension {self.gate.dimension!r} is none of the dimensions")
        if self.clamp[0] >= self.clamp[1]:
            raise ValueError("clamp must be [low, high] with low < high")
        names = [entry.rule for entry in self.rules]
        if len(set(names)) != len(names):
            raise ValueError("a rule is listed twice")
        return self


@dataclass(frozen=True, slots=True)
class Rubric:
    name: str
    sha256: str
    """Of both files: two rubrics with the same hash judge alike."""
    asked_sha256: str
    """Of what the teacher is asked alone (prompt and names of dimensions), so that new weights or
    a new gate leave stored verdicts valid."""
    file: RubricFile
    template: Template

    @property
    def flag_rules(self) -> frozenset[str]:
        return frozenset(entry.rule for entry in self.file.rules if entry.flag)

    def rule_verdict(self, hits: Iterable[RuleHit]) -> RuleVerdict:
        """The sum of the effects, clamped."""
        kept = tuple(hits)
        low, high = self.file.clamp
        total = min(max(math.fsum(hit.effect for hit in kept), low), high)
        return RuleVerdict(total=round(total, 6), hits=kept)

    def flags(self, verdict: RuleVerdict) -> tuple[str, ...]:
        return tuple(hit.rule for hit in verdict.hits if hit.rule in self.flag_rules)

    def overall(self, scores: Mapping[str, float]) -> float:
        """Weighted mean of the teacher's scores in [0, 1]; 0 where the gate says so."""
        if self.is_gated(scores):
            return 0.0
        parts = [weight * scores[name] for name, weight in self.file.dimensions.items()]
        return round(math.fsum(parts), 6)

    def is_gated(self, scores: Mapping[str, float]) -> bool:
        return scores[self.file.gate.dimension] <= self.file.gate.at_most

    def reward(self, rules: RuleVerdict, scores: Mapping[str, float]) -> float:
        """The weighted sum of rules and teacher, capped for an unsafe answer."""
        weights = self.file.weights
        reward = weights.rules * rules.total + weights.teacher * self.overall(scores)
        return self._capped(reward, unsafe=bool(self.flags(rules)) or self.is_gated(scores))

    def reward_without_substance(self, rules: RuleVerdict) -> float:
        """For an answer that says nothing: the teacher's part is worth 0 without being asked."""
        return self._capped(self.file.weights.rules * rules.total, unsafe=True)

    def reward_of_rules(self, rules: RuleVerdict) -> float:
        """The rules alone, at full weight, when no teacher has judged."""
        return self._capped(rules.total, unsafe=bool(self.flags(rules)))

    def _capped(self, reward: float, *, unsafe: bool) -> float:
        return round(min(reward, self.file.gate.reward_cap) if unsafe else reward, 6)

    def card(self) -> RubricCard:
        return RubricCard(
            name=self.name,
            sha256=self.sha256,
            description=self.file.description,
            dimensions=self.file.dimensions,
            rules=tuple(entry.rule for entry in self.file.rules),
        )


def load_rubric(folder: Path) -> Rubric:
    """Read a rubric's folder; `RecipeError` names the file and the field at fault."""
    yaml_path, prompt_path = folder / "rubric.yaml", folder / "prompt.txt"
    file = validated(RubricFile, read_yaml(yaml_path), str(yaml_path))
    try:
        prompt = prompt_path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise RecipeError(f"{prompt_path}: no such file; a rubric needs one") from None
    except UnicodeDecodeError:
        raise RecipeError(f"{prompt_path}: not UTF-8 text") from None
    template = Template.parse(prompt, str(prompt_path))
    content = file.model_dump(mode="json")
    return Rubric(
        name=folder.name,
        sha256=digest.of_json([content, prompt]),
        asked_sha256=digest.of_json([list(file.dimensions), prompt]),
        file=file,
        template=template,
    )


class RubricShelf:
    """Every rubric that this judge knows, by name."""

    def __init__(self, rubrics: Iterable[Rubric]) -> None:
        self._by_name = {rubric.name: rubric for rubric in rubrics}

    @classmethod
    def load(cls, further: Path | None = None) -> RubricShelf:
        """The shipped rubrics and those in `further`, which may not reuse a shipped name."""
        shipped = Path(str(resources.files("judge.rubrics")))
        rubrics = [load_rubric(folder) for folder in _rubric_folders(shipped)]
        names = {rubric.name for rubric in rubrics}
        for folder in _rubric_folders(further) if further else ():
            if folder.name in names:
                raise RecipeError(f"{folder}: a shipped rubric has this name; choose another")
            rubrics.append(load_rubric(folder))
        return cls(rubrics)

    def __iter__(self) -> Iterator[Rubric]:
        return iter(self._by_name.values())

    def get(self, name: str) -> Rubric:
        try:
            return self._by_name[name]
        except KeyError:
            known = ", ".join(sorted(self._by_name))
            raise NotFound(f"no such rubric; known are {known}", param="rubric") from None


def _rubric_folders(parent: Path) -> list[Path]:
    if not parent.is_dir():
        raise RecipeError(f"{parent}: no such folder; check 'rubrics' in the judge's settings")
    return sorted(p for p in parent.iterdir() if (p / "rubric.yaml").is_file())
