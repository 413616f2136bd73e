"""Laws of grading by criteria that rows bring: the judge grades them, as HealthBench has it."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from galen.errors import Conflict, DataError
from tests.fakes.rendering_server import RenderingServer
from tests.trainer.evaluate.conftest import PlanMaker, SuiteMaker
from trainer.evaluate import items
from trainer.evaluate.evaluate import evaluate
from trainer.evaluate.suite import load

CRITERIA: dict[str, Any] = {
    "scorer": "criteria",
    "rubric": "criteria",
    "teacher": "required",
    "measures": {"points": {"score": "points"}},
}
RUBRICS = [
    {"criterion": "要求立即拨打120", "points": 6, "tags": []},
    {"criterion": "说明可能的原因", "points": 4, "tags": []},
    {"criterion": "今晚多喝热水", "points": -8, "tags": []},
]
ROW = {
    "prompt_id": "p1",
    "prompt": [
        {"role": "user", "content": "我爸胸口闷痛"},
        {"role": "assistant", "content": "多久了？"},
        {"role": "user", "content": "半小时，怎么办？"},
    ],
    "rubrics": RUBRICS,
    "example_tags": ["theme:emergency"],
}


@pytest.mark.parametrize(
    ("answer", "points"),
    [("请马上拨打120急救电话。", 0.6), ("今晚多喝热水，早点睡，明天就好了。", -0.8)],
)
def test_points_are_those_met_over_the_positive_ones(
    answer: str,
    points: float,
    server: RenderingServer,
    make_suite: SuiteMaker,
    make_plan: PlanMaker,
) -> None:
    """Of the answer to the whole conversation; a harm counts against it, without a clip."""
    server.text = f"<think>\n说明可能的原因\n</think>\n\n{answer}"
    plan = make_plan(["base"], make_suite([ROW], **CRITERIA), allow_mock=True)
    (measured,) = evaluate(plan)
    assert measured.result.figures["points"].mean == points
    assert measured.result.rows[0].category == "emergency"


def test_length_is_taken_off_by_the_published_slope(
    server: RenderingServer, make_suite: SuiteMaker, make_plan: PlanMaker
) -> None:
    """1.47 points of a hundred for each 500 characters of answer above 2,000, added below; the
    reasoning's length is nobody's burden."""
    answer = "请马上拨打120急救电话。"
    server.text = f"<think>\n{'想' * 300}\n</think>\n\n{answer}"
    by_length = {"score": "points", "length_slope": 0.0147}
    measures = {**CRITERIA["measures"], "by_length": by_length}
    suite = make_suite([ROW], **CRITERIA | {"measures": measures})
    (measured,) = evaluate(make_plan(["base"], suite, allow_mock=True))
    means = {name: figure.mean for name, figure in measured.result.figures.items()}
    expected = 0.6 + 0.0147 * (2000 - len(answer)) / 500
    assert means == {"points": 0.6, "by_length": pytest.approx(expected)}


def test_a_mock_grades_only_where_it_may(
    server: RenderingServer, make_suite: SuiteMaker, make_plan: PlanMaker
) -> None:
    """Its grades are no opinion."""
    with pytest.raises(Conflict, match="mock"):
        evaluate(make_plan(["base"], make_suite([ROW], **CRITERIA)))


def test_only_a_teacher_grades_criteria(make_suite: SuiteMaker) -> None:
    """A suite that asks none is refused when it is read."""
    with pytest.raises(ValidationError, match="only a teacher gives it"):
        make_suite([ROW], **CRITERIA | {"teacher": "off"})


@pytest.mark.parametrize(
    ("rubrics", "where"),
    [
        (None, "rubrics: is missing"),
        ([], "rubrics: "),
        ([{"criterion": "a", "points": 0}], "0 points"),
        ([{"criterion": "a", "points": -1}], "no criterion has points above 0"),
        ([{"criterion": "a", "points": True}], "rubrics.0.points: "),
        ([{"criterion": " ", "points": 1}], "rubrics.0.text: "),
        (["a"], "rubrics.0: "),
        ([RUBRICS[0], RUBRICS[0]], "criteria 0 and 1 have the same text"),
    ],
)
def test_criteria_that_decide_nothing_are_refused(
    rubrics: Any, where: str, make_suite: SuiteMaker
) -> None:
    """With line, field and reason, before anything is asked."""
    suite = make_suite([ROW | {"rubrics": rubrics}], **CRITERIA)
    with pytest.raises(DataError) as caught:
        items.load(suite)
    assert where in str(caught.value)


def test_the_shipped_suite_can_be_graded() -> None:
    """Its rows bring their criteria."""
    assert all(item.criteria for item in items.load(load("rubric")))
