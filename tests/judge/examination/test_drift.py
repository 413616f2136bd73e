"""Laws of watching a teacher by its anchors."""

from __future__ import annotations

import json
import shutil
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

import judge.rubrics
from galen.errors import NotFound
from judge.examination.drift import BASELINE, DriftMetrics, DriftWatch, LedgerAsk, sample_of
from judge.ledger import database
from judge.ledger.budget import Budget
from judge.ledger.group_commit import Store
from judge.ledger.ledger import Ledger
from judge.rubrics.rubric import RubricRegistry, load_rubric
from judge.schemas import DriftReport, DriftRequest
from judge.settings import BudgetSettings
from judge.teacher.verdict import TeacherError
from tests.fakes.steady_teacher import SteadyTeacher

SHIPPED = Path(next(iter(judge.rubrics.__path__)))
ANCHORS = 6


@dataclass
class Watched:
    teacher: SteadyTeacher
    watch: DriftWatch
    registry: CollectorRegistry
    budget: Budget

    async def look(self, step: int = 0, run: str = "r") -> DriftReport:
        return await self.watch.look(DriftRequest(rubric="watched", run=run, step=step))

    def metric(self, name: str, **labels: str) -> float | None:
        return self.registry.get_sample_value(name, {"rubric": "watched", **labels})


@pytest.fixture
def rubric_folder(tmp_path: Path) -> Path:
    """A shipped rubric with anchors of the test's own."""
    folder = tmp_path / "watched"
    shutil.copytree(SHIPPED / "medical-safety", folder)
    anchors = [
        {"id": f"a{i}", "prompt": "嗓子痛两天怎么办？", "response": f"多喝水，第{i}天就医。"}
        for i in range(ANCHORS)
    ]
    lines = [json.dumps(anchor, ensure_ascii=False) for anchor in anchors]
    (folder / "anchors.jsonl").write_text("\n".join(lines), "utf-8")
    return folder


@pytest.fixture
async def watched(rubric_folder: Path, sqlite_url: str) -> AsyncIterator[Watched]:
    teacher, registry = SteadyTeacher(), CollectorRegistry()
    rubrics = RubricRegistry([load_rubric(rubric_folder)])
    store = Store(database.connect(sqlite_url))
    ledger, budget = Ledger(store), Budget(store, BudgetSettings())
    ask = LedgerAsk(teacher, ledger, budget)
    watch = DriftWatch(rubrics, teacher.provider, ask, DriftMetrics(registry))
    yield Watched(teacher, watch, registry, budget)
    await ledger.aclose()


async def test_a_teacher_that_says_the_same_has_not_moved(watched: Watched) -> None:
    """The baseline is asked for at the first look, and every look asks anew."""
    report = await watched.look(step=0)
    assert len(watched.teacher.asked) == 2 * ANCHORS
    assert (report.judged, report.max_shift, report.alarm) == (ANCHORS, 0.0, False)
    assert set(report.shift) == {"safety", "logic", "completeness", "empathy"}
    await watched.look(step=50)
    assert len(watched.teacher.asked) == 3 * ANCHORS
    assert watched.metric("galen_judge_drift_alarms_total") == 0


async def test_a_look_that_is_repeated_asks_nobody(watched: Watched) -> None:
    """A run that is resumed pays for no look twice."""
    first = await watched.look(step=50)
    again = await watched.look(step=50)
    assert len(watched.teacher.asked) == 2 * ANCHORS
    assert (first.cost_usd, again.cost_usd) == (pytest.approx(0.001 * 2 * ANCHORS), 0.0)
    assert again == first.model_copy(update={"cost_usd": 0.0})


async def test_a_shift_raises_the_alarm_for_its_dimension(watched: Watched) -> None:
    """The report names the dimension and how far; gauge and counter say the same."""
    await watched.look(step=0)
    watched.teacher.shift = {"safety": -0.2, "logic": 0.05}
    report = await watched.look(step=50)
    assert report.alarm
    assert report.reason == "safety moved by -0.20 [-0.20, -0.20]"
    assert report.max_shift == pytest.approx(0.2)
    assert watched.metric("galen_judge_drift_shift", dimension="safety") == pytest.approx(-0.2)
    assert watched.metric("galen_judge_drift_shift", dimension="empathy") == pytest.approx(0.0)
    assert watched.metric("galen_judge_drift_alarms_total") == 1


async def test_one_anchor_that_jumps_is_no_shift_of_the_whole(watched: Watched) -> None:
    """A large difference on one of six has an interval that holds 0: noise, not drift."""
    await watched.look(step=0)
    watched.teacher.score = lambda case: 0.0 if "第3天" in case.response else 0.7
    report = await watched.look(step=50)
    assert report.max_shift == pytest.approx(0.7 / ANCHORS)
    assert not report.alarm


@pytest.mark.parametrize(("name", "value"), [("fingerprint", "fp_2"), ("model", "teacher-2")])
async def test_another_build_or_model_raises_the_alarm_without_a_shift(
    watched: Watched, name: str, value: str
) -> None:
    """The same scores from somebody else are a reason to look."""
    await watched.look(step=0)
    setattr(watched.teacher, name, value)
    report = await watched.look(step=50)
    assert (report.fingerprint_changed, report.alarm, report.max_shift) == (True, True, 0.0)
    assert "name or fingerprint has changed" in str(report.reason)


async def test_a_new_epoch_starts_from_a_baseline_of_its_own(watched: Watched) -> None:
    """Once the operator has looked and renamed the epoch, the changed teacher is the measure."""
    await watched.look(step=0)
    watched.teacher.shift, watched.teacher.fingerprint = {"safety": -0.2}, "fp_2"
    watched.teacher.epoch = "2026-12"
    assert not (await watched.look(step=50)).alarm


async def test_anchors_that_cannot_be_judged_are_neither_calm_nor_alarm(watched: Watched) -> None:
    """Failures have no score; the report says how many of them and why."""
    watched.teacher.failing = TeacherError("timeout", "too slow", retryable=True)
    report = await watched.look()
    assert (report.judged, report.shift, report.alarm) == (0, {}, False)
    assert report.reason == f"only 0 of {ANCHORS} anchors were judged (timeout)"


async def test_a_look_is_paid_for_by_its_run(watched: Watched) -> None:
    """The run's own budget goes down, and the teacher hears whose turn it is."""
    await watched.look(run="some-run")
    day, run = await watched.budget.state("some-run")
    assert (run.scope, run.calls, day.calls) == ("run:some-run", 2 * ANCHORS, 2 * ANCHORS)
    assert {name for _, name in watched.teacher.asked} == {"some-run"}


async def test_a_rubric_without_anchors_is_not_watched(
    watched: Watched, rubric_folder: Path
) -> None:
    """Anchors are optional; an unknown rubric is an error."""
    (rubric_folder / "anchors.jsonl").unlink()
    rubrics = RubricRegistry([load_rubric(rubric_folder)])
    bare = DriftWatch(rubrics, "t", watched.watch._ask, DriftMetrics(CollectorRegistry()))
    report = await bare.look(DriftRequest(rubric="watched", run="r", step=0))
    assert (report.anchors, report.alarm, report.reason) == (0, False, None)
    with pytest.raises(NotFound):
        await bare.look(DriftRequest(rubric="other", run="r", step=0))


def test_every_look_has_a_sample_of_its_own() -> None:
    """Another run, step or day asks anew, the same asks the same, and none asks the baseline."""
    day = datetime(2026, 11, 21, 9, tzinfo=UTC)
    first = DriftRequest(rubric="m", run="a", step=1)
    others = [
        sample_of(first.model_copy(update={"step": 2}), day),
        sample_of(first.model_copy(update={"run": "b"}), day),
        sample_of(first, day.replace(day=22)),
    ]
    assert sample_of(first, day) == sample_of(first, day.replace(hour=23))
    assert len({sample_of(first, day), *others, BASELINE}) == 5


def test_shipped_anchors_are_there_for_the_medical_rubrics() -> None:
    """An installed judge watches what it ships."""
    found = {rubric.name: len(rubric.anchors) for rubric in RubricRegistry.load()}
    assert found["medical"] == found["medical-safety"] == 12
