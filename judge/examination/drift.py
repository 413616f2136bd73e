"""Detects whether the teacher has changed: a rubric's anchors are judged again and compared.

Anchors are a dozen fixed answers, good and bad, beside the rubric. Their first verdicts are the
baseline. Each look asks for a new sample, so the teacher answers and not the ledger. A model that
changed behind the same name shows here.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from prometheus_client import CollectorRegistry, Counter, Gauge

from galen import digest
from judge.agreement import mean_interval
from judge.ledger.budget import Budget
from judge.ledger.ledger import Ledger
from judge.rubrics.anchors import Anchor
from judge.rubrics.rubric import Rubric, RubricRegistry
from judge.schemas import DriftReport, DriftRequest, Estimate
from judge.teacher.question import Question, key_of
from judge.teacher.verdict import Client, Teacher, TeacherError, Verdict
from judge.text.case import Case

log = logging.getLogger(__name__)

BASELINE = 0
"""The sample number of the first verdicts on the anchors."""
ALARM_SHIFT = 0.1
"""A mean shift of at least this is an alarm, unless its interval contains 0. Rewards move by less
from one batch to the next."""
_SAMPLES = 2**31

Ask = Callable[[Rubric, Case, int, str], Awaitable[tuple[Verdict, float]]]
"""(rubric, case, sample, run) → the verdict, from the ledger or the teacher, and its cost now in US
dollars, which the run pays. Raises `TeacherError`."""


@dataclass(frozen=True, slots=True)
class LedgerAsk:
    """An `Ask` through the judge's ledger, paid from the run's budget."""

    teacher: Teacher
    ledger: Ledger
    budget: Budget

    async def __call__(
        self, rubric: Rubric, case: Case, sample: int, run: str
    ) -> tuple[Verdict, float]:
        key = key_of(self.teacher, rubric, case, sample)
        if (stored := (await self.ledger.find([key])).get(key)) is not None:
            return stored, 0.0
        client = Client(run, self.budget.account(run))
        question = Question(key, rubric, case, self.teacher, client, sample)
        verdict, ours = await self.ledger.obtain(question)
        return verdict, verdict.spent.cost_usd if ours else 0.0


@dataclass(frozen=True, slots=True)
class _Pair:
    """An anchor's first verdict and its newest."""

    then: Verdict
    now: Verdict


class DriftMetrics:
    def __init__(self, registry: CollectorRegistry) -> None:
        self._shift = Gauge(
            "galen_judge_drift_shift",
            "Mean shift of the anchors' scores since they were first judged, at the last look",
            ["rubric", "dimension"],
            registry=registry,
        )
        self._alarms = Counter(
            "galen_judge_drift_alarms",
            "Looks at the anchors that found the teacher changed",
            ["rubric"],
            registry=registry,
        )

    def count(self, report: DriftReport) -> None:
        for dimension, shift in report.shift.items():
            self._shift.labels(report.rubric, dimension).set(shift.value)
        self._alarms.labels(report.rubric).inc(report.alarm)


class DriftWatch:
    """Judges the anchors on request and reports their shift."""

    def __init__(
        self, rubrics: RubricRegistry, provider: str, ask: Ask, metrics: DriftMetrics
    ) -> None:
        self._rubrics = rubrics
        self._provider = provider
        self._ask = ask
        self._metrics = metrics

    async def look(self, request: DriftRequest) -> DriftReport:
        """Judge the anchors and compare. Raises `NotFound` for an unknown rubric."""
        rubric = self._rubrics.get(request.rubric)
        sample = sample_of(request, datetime.now(UTC))
        asked = await asyncio.gather(
            *(self._pair(rubric, anchor, sample, request.run) for anchor in rubric.anchors)
        )
        pairs = [pair for pair, _ in asked if isinstance(pair, _Pair)]
        failures = [failed for failed, _ in asked if isinstance(failed, TeacherError)]
        report = self._report(rubric, pairs, failures, sum(cost for _, cost in asked))
        self._metrics.count(report)
        if report.alarm:
            log.warning("the teacher has drifted", extra={"rubric": rubric.name})
        return report

    async def _pair(
        self, rubric: Rubric, anchor: Anchor, sample: int, run: str
    ) -> tuple[_Pair | TeacherError, float]:
        """Both verdicts or the failure, and what was spent."""
        case = Case(anchor.prompt, anchor.response)
        spent = 0.0
        try:
            then, cost = await self._ask(rubric, case, BASELINE, run)
            spent += cost
            now, cost = await self._ask(rubric, case, sample, run)
        except TeacherError as failure:
            return failure, spent + failure.spent.cost_usd
        return _Pair(then, now), spent + cost

    def _report(
        self,
        rubric: Rubric,
        pairs: Sequence[_Pair],
        failures: Sequence[TeacherError],
        cost_usd: float,
    ) -> DriftReport:
        shift = {name: _shift(name, pairs) for name in rubric.dimensions} if pairs else {}
        changed = bool(_models(pair.now for pair in pairs) - _models(pair.then for pair in pairs))
        enough = 2 * len(pairs) >= len(rubric.anchors)
        reasons = list(_reasons(shift, changed)) if enough else []
        if not enough:
            codes = ", ".join(sorted({failure.code for failure in failures}))
            too_few = f"only {len(pairs)} of {len(rubric.anchors)} anchors were judged ({codes})"
        return DriftReport(
            rubric=rubric.name,
            provider=self._provider,
            anchors=len(rubric.anchors),
            judged=len(pairs),
            shift=shift,
            fingerprint_changed=changed,
            alarm=bool(reasons),
            reason="; ".join(reasons) or (None if enough else too_few),
            cost_usd=cost_usd,
        )


def sample_of(request: DriftRequest, at: datetime) -> int:
    """The sample number for one look, never the baseline's. It is the same for the same run, step
    and day, so a resumed run does not pay twice; a later run of the same name asks anew."""
    hashed = digest.of_json([request.run, request.step, at.date().isoformat()])
    return 1 + int(hashed[:15], 16) % (_SAMPLES - 1)


def _shift(dimension: str, pairs: Sequence[_Pair]) -> Estimate:
    found = mean_interval(
        [pair.now.scores[dimension] - pair.then.scores[dimension] for pair in pairs]
    )
    return Estimate(value=found.value, low=found.low, high=found.high)


def _models(verdicts: Iterator[Verdict]) -> set[tuple[str, str | None]]:
    return {(verdict.model_answered, verdict.fingerprint) for verdict in verdicts}


def _reasons(shift: dict[str, Estimate], changed: bool) -> Iterator[str]:
    if changed:
        yield "the model's name or fingerprint has changed"
    for name, found in shift.items():
        if abs(found.value) >= ALARM_SHIFT and not found.low <= 0 <= found.high:
            yield f"{name} moved by {found}"
