"""Models side by side: paired differences from the first, and what may be said of them.

Shapes: P prompts.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Literal

from pydantic import BaseModel, ConfigDict

from galen.errors import Conflict, InvalidInput
from trainer.evaluate import statistics
from trainer.evaluate.evaluate import Measured
from trainer.evaluate.pairwise import Pairwise
from trainer.evaluate.reach import level_of
from trainer.evaluate.result import Result
from trainer.evaluate.suite import Suite

Seen = Literal["better", "worse", "none"]


class Difference(BaseModel):
    """Candidate − baseline in one measure, over the prompts that both have."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    candidate: str
    measure: str
    better: Literal["higher", "lower"]
    share: bool
    mean: float
    low: float
    high: float
    level: float
    """Of this interval, so that all of the table hold together with 95 %."""
    prompts: int
    wins: int
    ties: int
    losses: int
    seen: Seen
    """`none`: no difference was seen, which is not that there is none."""
    looked_for: float
    needed: int | None
    """Prompts that would show a difference of `looked_for` in four of five cases."""
    by_category: dict[str, tuple[float, int]]


class SuiteComparison(BaseModel):
    """All models in one suite; the first is the baseline."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    suite: str
    description: str
    headline: str
    results: list[Result]
    left_out: int
    """Prompts that not all models have an answer with scores to; they leave all sides."""
    differences: list[Difference]
    pairwise: list[Pairwise] = []
    """A second opinion on each candidate, where it was asked for."""

    @property
    def baseline(self) -> Result:
        return self.results[0]


def compare(measured: Sequence[Measured], seed: int = 17) -> list[SuiteComparison]:
    """One comparison for each suite. Raises `Conflict` where models were not measured alike."""
    by_suite: dict[str, list[Measured]] = defaultdict(list)
    for each in measured:
        by_suite[each.suite.name].append(each)
    return [_of_suite(each, seed) for each in by_suite.values()]


def refuse_unlike(results: Sequence[Result]) -> None:
    """Raise `Conflict`, naming what differs, where results were not got alike."""
    first, *others = results
    for other in others:
        if differing := first.conditions.differences(other.conditions):
            raise Conflict(
                f"{first.model} and {other.model} were not measured alike in "
                f"{first.conditions.suite}: {', '.join(differing)} differ; run both again under "
                "the same"
            )


def _refuse_other_budgets(measured: Sequence[Measured]) -> None:
    """Where a model's length leaves an answer fewer tokens than another model's had."""
    first, *others = (
        {(a.item.id, a.sample): a.written.allowed for a in each.answers} for each in measured
    )
    for each, allowed in zip(measured[1:], others, strict=True):
        if unlike := sum(allowed.get(key, most) != most for key, most in first.items()):
            raise Conflict(
                f"{measured[0].result.model} and {each.result.model} might not write as many "
                f"tokens in {unlike} answers to {each.suite.name}, since their longest sequences "
                "differ; lower max_tokens or leave the longest questions out"
            )


def _of_suite(measured: Sequence[Measured], seed: int) -> SuiteComparison:
    suite, results = measured[0].suite, [each.result for each in measured]
    refuse_unlike(results)
    _refuse_other_budgets(measured)
    baseline, *candidates = results
    categories = {row.id: row.category for row in baseline.rows}
    measures = [name for name in suite.measures if all(name in r.figures for r in results)]
    differences = []
    for measure in measures:
        level = level_of(suite, measure, measures, len(candidates))
        shared, *others = _shared(measured, measure)
        for candidate, other in zip(candidates, others, strict=True):
            if shared:
                pairs = {prompt: (shared[prompt], other[prompt]) for prompt in shared}
                differences.append(
                    _difference(suite, measure, candidate.model, pairs, categories, level, seed)
                )
    if not differences:
        raise InvalidInput(
            f"suite {suite.name}: no prompt was scored for all models; mend the judge or the "
            "server and run the same command again"
        )
    every = {row.id for result in results for row in result.rows if suite.headline in row.values}
    return SuiteComparison(
        suite=suite.name,
        description=suite.description,
        headline=suite.headline,
        results=results,
        left_out=len(every - _shared(measured, suite.headline)[0].keys()),
        differences=differences,
    )


def _shared(measured: Sequence[Measured], measure: str) -> list[dict[str, float]]:
    """Each model's mean of each prompt, over the answers that have a value for every model.

    Answer i has the same seed for all, so one that failed for a model leaves all of them.
    """
    found = [
        {
            (answer.item.id, answer.sample): value
            for answer, values in zip(each.answers, each.values, strict=True)
            if (value := values.get(measure)) is not None
        }
        for each in measured
    ]
    drawn: dict[str, list[tuple[str, int]]] = defaultdict(list)
    for key in found[0]:
        if all(key in values for values in found):
            drawn[key[0]].append(key)
    return [
        {prompt: fmean(values[key] for key in keys) for prompt, keys in drawn.items()}
        for values in found
    ]


def _difference(
    suite: Suite,
    name: str,
    candidate: str,
    pairs: Mapping[str, tuple[float, float]],
    categories: Mapping[str, str],
    level: float,
    seed: int,
) -> Difference:
    measure = suite.measures[name]
    baseline_P = [before for before, _ in pairs.values()]
    candidate_P = [after for _, after in pairs.values()]
    interval = statistics.paired_bootstrap(
        baseline_P,
        candidate_P,
        statistics.RESAMPLES,
        seed,
        level=level,
        least=1 / suite.samples if measure.is_share else None,
    )
    up, ties, down = statistics.win_tie_loss(baseline_P, candidate_P)
    sign = 1 if measure.better == "higher" else -1
    by_category: dict[str, list[float]] = defaultdict(list)
    for prompt, (before, after) in pairs.items():
        by_category[categories[prompt]].append(after - before)
    seen: Seen = "none"
    if interval.excludes_zero:
        seen = "better" if sign * interval.mean > 0 else "worse"
    differences_P = [after - before for before, after in pairs.values()]
    return Difference(
        candidate=candidate,
        measure=name,
        better=measure.better,
        share=measure.is_share,
        mean=interval.mean,
        low=interval.low,
        high=interval.high,
        level=level,
        prompts=len(pairs),
        wins=up if sign > 0 else down,
        ties=ties,
        losses=down if sign > 0 else up,
        seen=seen,
        looked_for=suite.looked_for,
        needed=statistics.prompts_needed(differences_P, suite.looked_for, level),
        by_category={k: (fmean(v), len(v)) for k, v in sorted(by_category.items())},
    )
