"""A suite: which questions are asked, how the answers are scored, and what must be reached.

A suite is one YAML file. Those of `suites/` are known by name; any other is named by its path.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

from pydantic import Field, model_validator

from galen import digest
from galen.errors import InvalidInput
from galen.settings import Settings, apply_overrides, read_yaml, validated

SHIPPED = Path(__file__).with_name("suites")
Scorer = Literal["judged", "exam", "exact", "criteria"]
"""judged: the judge's rules and teacher. exam: letters of a choice. exact: one right text or
number. criteria: points for each criterion that a row brings, graded by the judge."""
EXAM_MEASURES = ("right", "wrong", "unanswered", "right_by_logprob")
EXACT_MEASURES = ("right", "unanswered")
POINTS = "points"
UNBOUNDED = ("reward", POINTS)
"""Scores that may lie below 0."""


class Measure(Settings):
    """One figure of a suite: a value for each answer, whose mean is reported.

    What the value is depends on the scorer. The judge's answers have one of `hit`, `flagged` and
    `score`; other scorers know their measures by name.
    """

    hit: tuple[str, ...] = ()
    """1 for an answer that any of these rules hit, else 0."""
    flagged: bool | tuple[str, ...] = False
    """1 for an answer with a flag, or with one of these flags."""
    score: str | None = None
    """`reward`, `overall`, or one of the teacher's dimensions; of criteria `points`."""
    length_slope: float = Field(default=0.0, ge=0)
    """Of `points`: taken off for each 500 characters of answer above 2,000, and added below."""
    among: Mapping[Literal["risk", "category"], tuple[str, ...]] = {}
    """Only rows of these levels or categories count."""
    better: Literal["higher", "lower"] = "higher"
    target: float | None = None
    """To be passed by the interval's nearer bound, so that chance alone does not pass it."""
    safety: bool = False
    """Whether a gate looks after it."""

    @property
    def is_share(self) -> bool:
        """Whether each answer's value lies between 0 and 1."""
        return self.score not in UNBOUNDED


class Suite(Settings):
    """Questions, sampling, scoring and targets."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9-]*$")
    description: str
    data: tuple[Path, ...] = Field(min_length=1)
    scorer: Scorer
    ask: str = "{question}"
    """What the model is asked; `{question}` and, in an exam, `{options}` stand for the row's."""
    system: str | None = None
    """Added to rows that have no system message of their own."""
    use_instruction: bool = True
    """Whether a row's own instruction is sent; as in training."""
    reference: bool = False
    """Whether each row must bring the right answer; categories are then the question's types."""
    rubric: str | None = None
    teacher: Literal["required", "off"] = "off"
    samples: int = Field(default=1, ge=1)
    """Answers to each question."""
    max_tokens: int = Field(default=1024, ge=1)
    temperature: float = Field(default=0.7, ge=0, le=2)
    seed: int = Field(default=17, ge=0, lt=2**32)
    by_logprob: bool = False
    """In an exam, also choose the option to whose letter the model gives most probability."""
    measures: Mapping[str, Measure] = Field(min_length=1)
    """The first is the suite's headline."""
    looked_for: float = Field(default=0.05, gt=0)
    """The size of a difference that would matter; the report says how many rows show it."""

    @model_validator(mode="after")
    def _fits(self) -> Suite:
        known = {"exam": EXAM_MEASURES, "exact": EXACT_MEASURES}
        for name, measure in self.measures.items():
            given = sum([bool(measure.hit), bool(measure.flagged), measure.score is not None])
            if self.scorer in ("judged", "criteria") and given != 1:
                raise ValueError(f"measures.{name}: needs one of hit, flagged and score")
            if self.scorer == "criteria" and measure.score != POINTS:
                raise ValueError(f"measures.{name}: of criteria the score is {POINTS}")
            if self.scorer in known and (given or name not in known[self.scorer]):
                raise ValueError(
                    f"measures.{name}: {self.scorer} has {', '.join(known[self.scorer])}"
                )
            if measure.length_slope and self.scorer != "criteria":
                raise ValueError(f"measures.{name}.length_slope: for the scorer `criteria` alone")
            if measure.score not in (None, "reward") and not self.asks_teacher:
                raise ValueError(f"measures.{name}.score: only a teacher gives it; set `teacher`")
        if (self.scorer in ("judged", "criteria")) != (self.rubric is not None):
            raise ValueError("rubric: for the scorers `judged` and `criteria`, and for them alone")
        return self

    @property
    def headline(self) -> str:
        return next(iter(self.measures))

    @property
    def asks_teacher(self) -> bool:
        return self.teacher == "required"

    @property
    def sha256(self) -> str:
        """Of all that decides about the scores; targets and descriptions do not."""
        fields = self.model_dump(mode="json", exclude={"description", "data", "looked_for"})
        for measure in fields["measures"].values():
            del measure["target"], measure["safety"]
        return digest.of_json(fields)


def load(name: str, overrides: Sequence[str] = ()) -> Suite:
    """The suite of that name, or in that file. Raises `RecipeError` for a bad file."""
    path = Path(name)
    if path.suffix not in (".yaml", ".yml"):
        path = SHIPPED / f"{name}.yaml"
        if not path.is_file():
            raise InvalidInput(f"--suite {name}: {_hint(name)}; or name a file ending in .yaml")
    fields = apply_overrides(read_yaml(path), overrides)
    return validated(Suite, {"name": path.stem, **fields}, str(path))


def names() -> list[str]:
    """The suites that are known by name."""
    return sorted(path.stem for path in SHIPPED.glob("*.yaml"))


def _hint(name: str) -> str:
    near = difflib.get_close_matches(name, names(), n=1)
    return f"did you mean {near[0]}?" if near else f"there are {', '.join(names())}"
