"""Whom the assessor asks, and what it refuses to judge."""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator
from dataclasses import fields

import pytest
from prometheus_client import CollectorRegistry

from judge.ledger import database
from judge.ledger.group_commit import Store
from judge.ledger.ledger import Ledger
from judge.rubrics.rubric import Rubric, RubricRegistry
from judge.schemas import RuleVerdict, ScoreItem, ScoreRequest, ScoreResult, TeacherMode
from judge.scoring.asking import Asking
from judge.scoring.assessor import CHUNK, Assessor
from judge.scoring.metrics import JudgeMetrics
from judge.scoring.rule_workers import ThreadReader
from judge.teacher.verdict import Client, Verdict
from judge.text.case import Case
from tests.fakes.account import FREE
from tests.fakes.scripted_teacher import ScriptedTeacher, verdict

RIGHT = "<think>\n120 除以 8 是 15。\n</think>\n<answer>15 万元</answer>"


@pytest.fixture
async def ledger(sqlite_url: str) -> AsyncIterator[Ledger]:
    ledger = Ledger(Store(database.connect(sqlite_url)))
    yield ledger
    await ledger.aclose()


async def judged(
    ledger: Ledger,
    rubrics: RubricRegistry,
    teacher: ScriptedTeacher,
    mode: TeacherMode,
    **item: str,
) -> ScoreResult:
    """One item under the rubric `finance`, which needs a reference and no teacher."""
    asked = ScoreItem.model_validate({"id": "a", "prompt": "每年多少？", "response": RIGHT, **item})
    request = ScoreRequest(rubric="finance", items=(asked,), teacher=mode)
    assessor = Assessor(Asking(teacher, ledger, JudgeMetrics(CollectorRegistry())), ThreadReader())
    assessment = await assessor.assess(rubrics.get("finance"), request, Client("test", FREE))
    return assessment.judged[0].result


@pytest.mark.parametrize("mode", ["required", "optional", "off"])
async def test_where_the_rules_are_the_whole_judgement_nobody_is_asked(
    ledger: Ledger, rubrics: RubricRegistry, mode: TeacherMode
) -> None:
    """A rubric without a teacher's share is judged whole by its rules, whatever is asked for."""
    teacher = ScriptedTeacher()
    result = await judged(ledger, rubrics, teacher, mode, reference="150,000 元")
    assert (result.status, result.reward, result.provider) == ("ok", 1.0, "rules")
    assert teacher.asked == []


@pytest.mark.parametrize("reference", [{}, {"reference": " "}], ids=["none", "blank"])
async def test_an_answer_without_the_known_one_is_not_judged(
    ledger: Ledger, rubrics: RubricRegistry, reference: dict[str, str]
) -> None:
    """Nothing to compare with is a failure and no wrong answer."""
    result = await judged(ledger, rubrics, ScriptedTeacher(), "optional", **reference)
    assert (result.status, result.reward) == ("failed", None)
    assert result.error is not None
    assert (result.error.code, result.error.retryable) == ("no_reference", False)


async def test_the_teacher_has_work_while_rules_are_read(
    ledger: Ledger, rubrics: RubricRegistry
) -> None:
    """The last items' rules need not be read before the first items' verdicts are asked for."""
    asked = threading.Event()

    async def note(case: Case, _: Client) -> Verdict:
        asked.set()
        return verdict()

    class Patient(Rubric):
        def examine(self, case: Case) -> RuleVerdict:
            if case.prompt == "最后一问":
                assert asked.wait(timeout=30), "no question was asked before all rules were read"
            return super().examine(case)

    medical = rubrics.get("medical")
    rubric = Patient(**{field.name: getattr(medical, field.name) for field in fields(medical)})
    answer = "多喝温水，注意休息。如果加重，请尽快就医，由医生检查后决定怎么治疗。"
    items = [
        ScoreItem(id=str(n), prompt=f"第 {n} 问，嗓子痛怎么办？", response=f"{n} 号：{answer}")
        for n in range(CHUNK)
    ]
    items.append(ScoreItem(id="last", prompt="最后一问", response=answer))
    metrics = JudgeMetrics(CollectorRegistry())
    assessor = Assessor(Asking(ScriptedTeacher(note), ledger, metrics), ThreadReader())
    request = ScoreRequest(rubric="medical", items=tuple(items))
    assessment = await assessor.assess(rubric, request, Client("test", FREE))
    assert [one.result.status for one in assessment.judged] == ["ok"] * (CHUNK + 1)
