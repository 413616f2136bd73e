"""A run's rewards under another rubric, computed from the database without any call.

The rules, as their code is now, read the stored samples again. A teacher's scores come from the
ledger and are valid wherever the rubric asks the teacher the same. What cannot be recomputed gets
no new reward and is counted by cause; a failure stays a failure.
"""

from __future__ import annotations

import math
import statistics
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Literal

from sqlalchemy import Connection, Row, select

from galen import criteria, digest
from galen.errors import NotFound, RecipeError
from galen.settings import apply_overrides, validated
from judge.agreement import spearman
from judge.audit import run_queries
from judge.ledger.tables import JudgementRow, SampleRow, VerdictRow
from judge.rubrics.rubric import Rubric
from judge.rubrics.rubric_file import RubricFile
from judge.schemas import RuleHit, RuleVerdict
from judge.text.case import Case

Obstacle = Literal[
    "failed", "forgotten", "no_sample", "no_verdict", "other_question", "no_reference"
]
OBSTACLES: Mapping[Obstacle, str] = {
    "failed": "the judgement had failed",
    "forgotten": "its texts were erased",
    "no_sample": "its texts were not stored",
    "no_verdict": "no teacher judged it, and this rubric needs one",
    "other_question": "the teacher was asked something other than this rubric asks",
    "no_reference": "this rubric needs a reference, and there is none",
}
_ROWS_AT_ONCE = 500


@dataclass(frozen=True, slots=True)
class Replayed:
    """One judgement then and now."""

    id: int
    step: int | None
    item: str
    provider: str
    rubric: str
    """The rubric that judges now."""
    then: float | None
    now: float | None
    """None where there is an `obstacle`."""
    obstacle: Obstacle | None = None
    flagged_then: bool = False
    flagged_now: bool = False
    gated_now: bool = False
    """Whether the teacher's score closes the gate."""
    rules_changed: bool = False
    """Whether the rules' present code finds something different in the same answer."""


@dataclass(frozen=True, slots=True)
class Figures:
    """Mean and standard deviation of rewards; NaN where there are too few."""

    mean: float
    sd: float

    @classmethod
    def of(cls, rewards: Sequence[float]) -> Figures:
        return cls(
            statistics.fmean(rewards) if rewards else math.nan,
            statistics.stdev(rewards) if len(rewards) > 1 else math.nan,
        )


@dataclass(frozen=True)
class Replay:
    run: str
    judgements: Sequence[Replayed] = field(repr=False)

    @cached_property
    def compared(self) -> list[tuple[float, float]]:
        """(reward then, reward now) of the judgements that have both."""
        pairs = ((one.then, one.now) for one in self.judgements)
        return [(then, now) for then, now in pairs if then is not None and now is not None]

    @property
    def obstacles(self) -> Counter[Obstacle]:
        return Counter(one.obstacle for one in self.judgements if one.obstacle)

    @property
    def changes(self) -> int:
        return sum(then != now for then, now in self.compared)

    @property
    def sign_changes(self) -> int:
        """How many rewards crossed 0, in either direction."""
        return sum((then > 0) != (now > 0) for then, now in self.compared)

    def figures(self) -> tuple[Figures, Figures]:
        """The figures then and now, over judgements that have both rewards."""
        return Figures.of([then for then, _ in self.compared]), Figures.of(
            [now for _, now in self.compared]
        )

    def correlation(self) -> float:
        """Spearman's rank correlation of rewards then and now; 0 if either is constant."""
        return spearman([then for then, _ in self.compared], [now for _, now in self.compared])


def changed(rubric: Rubric, overrides: Sequence[str]) -> Rubric:
    """`rubric` with fields of its `rubric.yaml` overridden. Raises `RecipeError`."""
    if not overrides:
        return rubric
    fields = apply_overrides(rubric.file.model_dump(mode="json", exclude_none=True), overrides)
    file = validated(RubricFile, fields, f"rubric {rubric.name!r} with --set")
    asks = {name: dimension.reads for name, dimension in file.dimensions.items()}
    if asks != dict(rubric.reads):
        raise RecipeError(
            "--set: other dimensions change what the teacher is asked, and the ledger has no "
            "answers to that; put them into a rubric folder and judge anew"
        )
    sha256 = digest.of_json([rubric.sha256, file.model_dump(mode="json")])
    return replace(rubric, file=file, sha256=sha256)


def replay(
    connection: Connection, run: str, choose: Callable[[str], Rubric], rubrics: Iterable[Rubric]
) -> Replay:
    """Recompute the rewards of `run`.

    `choose` maps the name of the rubric that judged to the one that judges now. `rubrics` supplies
    `asked_sha256` for verdicts that lack it. Raises `NotFound` if nothing was judged for the run.
    """
    if not run_queries.has_run(connection, run):
        raise NotFound(f"nothing was judged for a run named {run!r} in this database", param="run")
    asked_of = {rubric.sha256: rubric.asked_sha256 for rubric in rubrics}
    rows = _rows(connection, run)
    return Replay(run, [_replayed(row, choose(row.rubric), asked_of) for row in rows])


def _rows(connection: Connection, run: str) -> Iterator[Row[Any]]:
    judged, verdicts, samples = JudgementRow.__table__, VerdictRow.__table__, SampleRow.__table__
    joined = judged.outerjoin(verdicts, verdicts.c.key == judged.c.verdict_key).outerjoin(
        samples, samples.c.sha256 == judged.c.sample_sha256
    )
    query = (
        select(
            judged,
            verdicts.c.scores,
            verdicts.c.evidence,
            verdicts.c.asked_sha256,
            verdicts.c.rubric_sha256.label("verdict_rubric_sha256"),
            samples.c.prompt,
            samples.c.response,
            samples.c.reference,
            samples.c.earlier,
        )
        .select_from(joined)
        .where(judged.c.run == run)
        .order_by(judged.c.id)
        .execution_options(yield_per=_ROWS_AT_ONCE)
    )
    yield from connection.execute(query)


def _replayed(row: Row[Any], rubric: Rubric, asked_of: Mapping[str, str]) -> Replayed:
    judged = Replayed(row.id, row.step, row.item, row.provider, rubric.name, row.reward, None)
    if row.status == "failed":
        return replace(judged, obstacle="failed")
    if row.prompt is None:
        return replace(judged, obstacle="forgotten" if row.sample_sha256 else "no_sample")
    if rubric.needs_reference and not (row.reference or "").strip():
        return replace(judged, obstacle="no_reference")
    case = Case(row.prompt, row.response, row.reference or "", tuple(map(tuple, row.earlier or ())))
    found = rubric.examine(case)
    asked = row.asked_sha256 or asked_of.get(row.verdict_rubric_sha256)
    if row.evidence is not None and row.status == "ok" and asked == rubric.asked_sha256:
        found = rubric.settled(found, row.evidence)
    judged = replace(
        judged,
        flagged_then=bool(row.flags),
        flagged_now=bool(rubric.flags(found)),
        rules_changed=_find_otherwise(row, rubric, found),
    )
    if rubric.grades_criteria or row.criteria:
        return _regraded(row, rubric, judged, found)
    if row.status == "rules_only" or not rubric.asks_teacher:
        return replace(judged, now=rubric.reward_of_rules(found))
    if rubric.keeps_from_teacher(found):
        return replace(judged, now=rubric.reward_without_substance(found))
    if row.scores is None:
        return replace(judged, obstacle="no_verdict")
    if asked != rubric.asked_sha256:
        return replace(judged, obstacle="other_question")
    return replace(
        judged, now=rubric.reward(found, row.scores), gated_now=rubric.is_gated(row.scores)
    )


def _regraded(row: Row[Any], rubric: Rubric, judged: Replayed, found: RuleVerdict) -> Replayed:
    """By the stored verdicts on the criteria, which count as they did then."""
    if rubric.keeps_from_teacher(found):
        return replace(judged, now=rubric.reward_without_substance(found))
    if not row.criteria or not rubric.grades_criteria:
        return replace(judged, obstacle="other_question")
    graded = [(one["points"], one["met"]) for one in row.criteria]
    return replace(judged, now=rubric.reward_of_criteria(found, criteria.score(graded)))


def _find_otherwise(row: Row[Any], rubric: Rubric, found: RuleVerdict) -> bool:
    """Whether the rules' code now finds something different. Under another rubric only rules can
    be compared that were hit, that both rubrics have, and that take no threshold."""
    then = {_place(RuleHit.model_validate(hit)) for hit in row.hits}
    now = {_place(hit) for hit in found.hits}
    if row.rubric_sha256 == rubric.sha256:
        return then != now
    shared = {entry.rule for entry in rubric.file.rules if entry.threshold is None}
    shared.update(rubric.file.prechecks)
    return any(place not in now for place in then if place[0] in shared)


def _place(hit: RuleHit) -> tuple[str, tuple[int, int] | None]:
    return hit.rule, hit.span
