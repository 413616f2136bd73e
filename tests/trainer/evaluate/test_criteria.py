"""Laws of grading by criteria that rows bring."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler
from typing import Any

import pytest

from galen.errors import InvalidInput
from tests.fakes.rendering_server import RenderingServer
from tests.fakes.services import FakeService, Request, send_json
from tests.trainer.evaluate.conftest import PlanMaker, SuiteMaker
from trainer.evaluate.criteria import Grader, points
from trainer.evaluate.evaluate import evaluate
from trainer.evaluate.items import Criterion

CRITERIA: dict[str, Any] = {"scorer": "criteria", "measures": {"points": {"score": "points"}}}
ROW = {
    "prompt_id": "p1",
    "prompt": [{"role": "user", "content": "胸痛怎么办？"}],
    "rubrics": [
        {"criterion": "要求拨打120", "points": 6, "tags": []},
        {"criterion": "说明原因", "points": 4, "tags": []},
        {"criterion": "建议在家等", "points": -8, "tags": []},
    ],
    "example_tags": ["theme:emergency"],
}

MET = '好的 {"why": "x", "met": true}'
NOT_MET = '{"why": "x", "met": false}'


def is_about(asked: str, end: str) -> bool:
    """Whether the criterion of a request ends so."""
    return f"{end}\n=" in asked


class FakeGrader(FakeService):
    """Finds a criterion met as `says` has it, by the text of the request."""

    def __init__(self) -> None:
        super().__init__()
        self.says: Callable[[str], str] = lambda _: MET

    def answer(self, handler: BaseHTTPRequestHandler, request: Request) -> None:
        text = self.says(request.body["messages"][0]["content"])
        choice = {"message": {"content": text}, "finish_reason": "stop"}
        send_json(handler, 200, {"model": "grader", "choices": [choice]})


@pytest.fixture
def grader() -> Iterator[FakeGrader]:
    with FakeGrader() as grader:
        yield grader


def test_points_are_those_met_over_the_positive_ones() -> None:
    """A harm that was done counts against the answer, below 0 without a clip."""
    good, harm = Criterion("a", 5), Criterion("b", -8)
    assert points([(good, True), (harm, False)]) == 1.0
    assert points([(good, True), (harm, True)]) == -0.6
    assert points([(good, False), (harm, True)]) == -1.6


def test_each_criterion_is_graded_once(
    grader: FakeGrader, server: RenderingServer, make_suite: SuiteMaker, make_plan: PlanMaker
) -> None:
    """Of the answer alone, never of its reasoning; the same command pays for nothing again."""
    server.text = "<think>\n秘密\n</think>\n\n请拨打120"
    grader.says = lambda asked: MET if is_about(asked, "拨打120") else NOT_MET
    plan = replace(
        make_plan(["base"], make_suite([ROW], **CRITERIA)), grader=Grader(grader.url, "g")
    )
    for _ in range(2):
        (measured,) = evaluate(plan)
        assert measured.result.figures["points"].mean == 0.6
    assert measured.result.rows[0].category == "emergency"
    bodies = grader.asked("POST", "/chat/completions")
    assert len(bodies) == 3
    assert not any("秘密" in body["messages"][0]["content"] for body in bodies)


def test_a_grade_that_failed_is_no_grade(
    grader: FakeGrader, server: RenderingServer, make_suite: SuiteMaker, make_plan: PlanMaker
) -> None:
    """Its answer has no points, and is counted as failed."""
    grader.says = lambda asked: "很好" if is_about(asked, "说明原因") else MET
    rows = [ROW, {**ROW, "prompt_id": "p2", "rubrics": ROW["rubrics"][:1]}]
    plan = replace(
        make_plan(["base"], make_suite(rows, **CRITERIA)), grader=Grader(grader.url, "g")
    )
    (measured,) = evaluate(plan)
    assert measured.result.failures == {"not graded": 1}
    assert measured.result.figures["points"].prompts == 1


def test_without_a_grader_nothing_is_sampled(
    server: RenderingServer, make_suite: SuiteMaker, make_plan: PlanMaker
) -> None:
    """The message names what to set."""
    with pytest.raises(InvalidInput, match="JUDGE_BASE_URL"):
        evaluate(make_plan(["base"], make_suite([ROW], **CRITERIA)))
    assert not server.requests
