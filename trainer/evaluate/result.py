"""A model's result in one suite: figures with their intervals, and all that they depend on.

Shapes: P prompts.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from galen import disk
from galen.errors import DataError
from galen.records import first_problem
from trainer.evaluate import statistics
from trainer.evaluate.scoring import EXTRACTOR, Answer, JudgeFacts, Scores, Values
from trainer.evaluate.statistics import Interval
from trainer.evaluate.suite import Measure, Suite

PASSES = ("right", "accuracy")
"""Measures of which avg@n and pass@k are shown."""
Verdict = Literal["met", "missed", "open"]
"""open: the interval holds the target, so there are too few rows to say."""


class Kept(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Figure(Kept):
    """A measure's mean over prompts, with its 95 % interval."""

    mean: float
    low: float
    high: float
    prompts: int
    better: Literal["higher", "lower"]
    share: bool = True
    """Whether each answer's value lies between 0 and 1."""
    target: float | None = None
    verdict: Verdict | None = None
    pass_at: dict[int, float] = {}
    """Chance that at least one of k answers is right, where several were drawn."""
    by_category: dict[str, tuple[float, int]] = {}
    """Mean and number of prompts."""

    def __str__(self) -> str:
        return f"{self.mean:.3f} [{self.low:.3f}, {self.high:.3f}]"


class Conditions(Kept):
    """What must be equal for two results to be compared."""

    suite: str
    suite_sha256: str
    data_sha256: str
    template: str | None
    """Fingerprint of chat template and tokenizer; None where the endpoint does not show it."""
    tokens_allowed: int
    """Most tokens of an answer; the model's length may leave one to a long question fewer."""
    temperature: float
    samples: int
    seed: int
    judge: JudgeFacts | None
    extractor: str
    """Of the code that reads answers."""

    def differences(self, other: Conditions) -> list[str]:
        """What the two do not share; an unknown template is no difference."""
        ours, theirs = self.model_dump(), other.model_dump()
        if self.template is None or other.template is None:
            ours["template"] = theirs["template"] = None
        return [name for name in ours if ours[name] != theirs[name]]


class Row(Kept):
    """One prompt's means; a measure is None where none of its answers could be scored."""

    id: str
    category: str
    values: dict[str, float | None]


class Result(Kept):
    model: str
    model_sha256: str | None
    written_by: str
    """The model that the answers themselves name."""
    conditions: Conditions
    figures: dict[str, Figure]
    unmeasured: list[str] = []
    """Measures with a target of which no answer has a value."""
    prompts: int
    answers: int
    failed: int
    """Answers that could not be had or scored; they are in no figure."""
    failures: dict[str, int]
    cut_off: float
    """Share of answers that met the limit of tokens."""
    unanswered: float
    """Share of answers with nothing for the reader, unclosed thoughts among them."""
    tokens_mean: float
    seconds_mean: float
    """From request to answer, with as many at once as were asked for."""
    cost_usd: float
    """What the judge's teacher cost now; what the ledger had is free."""
    rows: list[Row]

    @property
    def is_met(self) -> bool:
        """Whether every target is met for certain."""
        return not self.unmeasured and all(
            f.verdict in (None, "met") for f in self.figures.values()
        )

    def write(self, path: Path) -> None:
        disk.replace(path, self.model_dump_json(indent=1).encode())


def read(path: Path) -> Result:
    """A result as it was written. Raises `DataError` for a damaged file."""
    try:
        return Result.model_validate_json(path.read_bytes())
    except ValidationError as error:
        raise DataError(path, [first_problem(error)]) from None


def of(
    suite: Suite,
    answers: Sequence[Answer],
    scores: Scores,
    *,
    model: str,
    model_sha256: str | None,
    data_sha256: str,
    template: str | None,
    missing: Mapping[str, int],
) -> Result:
    """The figures of one model. `missing` counts answers that could not be had, by reason."""
    rows = list(_rows(answers, scores.values))
    drawn = _drawn(answers, scores.values)
    failures = {**missing, **scores.failures}
    written = [answer.written for answer in answers]
    measured = {
        name for name in suite.measures if any(row.values.get(name) is not None for row in rows)
    }
    return Result(
        model=model,
        model_sha256=model_sha256,
        written_by=", ".join(sorted({each.model for each in written})),
        conditions=Conditions(
            suite=suite.name,
            suite_sha256=suite.sha256,
            data_sha256=data_sha256,
            template=template,
            tokens_allowed=suite.max_tokens,
            temperature=suite.temperature,
            samples=suite.samples,
            seed=suite.seed,
            judge=scores.judge,
            extractor=EXTRACTOR if suite.scorer in ("exam", "exact") else "",
        ),
        figures={
            name: figure(measure, rows, name, drawn.get(name, {}), suite.samples)
            for name, measure in suite.measures.items()
            if name in measured
        },
        unmeasured=[
            name
            for name, measure in suite.measures.items()
            if measure.target is not None and name not in measured
        ],
        prompts=len(rows),
        answers=len(answers),
        failed=sum(failures.values()),
        failures=failures,
        cut_off=fmean(each.is_cut_off for each in written),
        unanswered=fmean(each.is_unanswered for each in written),
        tokens_mean=fmean(each.tokens for each in written),
        seconds_mean=fmean(each.seconds for each in written),
        cost_usd=scores.cost_usd,
        rows=rows,
    )


def figure(
    measure: Measure,
    rows: Sequence[Row],
    name: str,
    right_of_drawn: Mapping[str, tuple[int, int]] = {},
    samples: int = 1,
) -> Figure:
    """A measure over the rows that have it."""
    found = [(row.category, value) for row in rows if (value := row.values.get(name)) is not None]
    values_P = [value for _, value in found]
    interval = (
        statistics.share(values_P)
        if measure.is_share
        else statistics.bootstrap(values_P, statistics.RESAMPLES, 0)
    )
    by_category: dict[str, list[float]] = defaultdict(list)
    for category, value in found:
        by_category[category].append(value)
    return Figure(
        mean=interval.mean,
        low=interval.low,
        high=interval.high,
        prompts=len(values_P),
        better=measure.better,
        share=measure.is_share,
        target=measure.target,
        verdict=verdict(measure, interval),
        pass_at=_pass_at(right_of_drawn, samples),
        by_category={k: (fmean(v), len(v)) for k, v in sorted(by_category.items())},
    )


def verdict(measure: Measure, interval: Interval) -> Verdict | None:
    """Whether a target is met by the interval's nearer bound."""
    if measure.target is None:
        return None
    sign = 1 if measure.better == "higher" else -1
    worst, best = sorted((sign * interval.low, sign * interval.high))
    if worst > sign * measure.target:
        return "met"
    return "missed" if best <= sign * measure.target else "open"


def _rows(answers: Sequence[Answer], values: Sequence[Values]) -> Iterator[Row]:
    """One for each prompt; failed answers are left out of its means."""
    grouped: dict[str, list[tuple[Answer, Values]]] = defaultdict(list)
    for answer, found in zip(answers, values, strict=True):
        grouped[answer.item.id].append((answer, found))
    for name, each in grouped.items():
        measured = dict.fromkeys(key for _, found in each for key in found)
        means = {
            key: _mean([value for _, found in each if (value := found.get(key)) is not None])
            for key in measured
        }
        yield Row(id=name, category=each[0][0].item.category, values=means)


def _drawn(
    answers: Sequence[Answer], values: Sequence[Values]
) -> dict[str, dict[str, tuple[int, int]]]:
    """For each measure of zeros and ones and each prompt: how many were 1, of how many."""
    found: dict[str, dict[str, tuple[int, int]]] = defaultdict(dict)
    fractional: set[str] = set()
    for answer, each in zip(answers, values, strict=True):
        for name, value in each.items():
            if value is None:
                continue
            if value not in (0.0, 1.0):
                fractional.add(name)
            right, drawn = found[name].get(answer.item.id, (0, 0))
            found[name][answer.item.id] = (right + (value == 1.0), drawn + 1)
    return {name: each for name, each in found.items() if name not in fractional}


def _pass_at(drawn: Mapping[str, tuple[int, int]], samples: int) -> dict[int, float]:
    """For k of 2, 4, 8 … and all; over prompts with all their answers."""
    whole = [right for right, count in drawn.values() if count == samples]
    if samples < 2 or not whole:
        return {}
    steps = {2**n for n in range(1, samples.bit_length()) if 2**n <= samples} | {samples}
    return {
        k: fmean(statistics.pass_at(k, right, samples) for right in whole) for k in sorted(steps)
    }


def _mean(values: Sequence[float]) -> float | None:
    return fmean(values) if values else None
