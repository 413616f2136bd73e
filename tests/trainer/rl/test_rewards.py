"""Laws of what is asked of the judge and of what counts as its answer."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from galen.errors import InvalidInput, RecipeError, TrainingStopped
from galen.records import Criterion
from judge.client import JudgeClient
from judge.schemas import ItemError, ScoreResult
from tests.fakes.loop_services import LoopJudge
from tests.fakes.rollouts import row_of, verdict
from tests.fakes.services import Refusal
from trainer.rl.rewards import Scorer


@pytest.fixture
def judge() -> Iterator[LoopJudge]:
    with LoopJudge() as judge:
        yield judge


async def scored(judge: LoopJudge, text: str = "建议就医", allow_mock: bool = False) -> ScoreResult:
    async with JudgeClient(judge.url) as client:
        scorer = Scorer(client, "medical-safety", "run-a", allow_mock)
        return (await scorer.score(row_of("q1"), "item-1", text, step=7))[0]


async def test_the_teacher_is_required(judge: LoopJudge) -> None:
    """A reward by the rules alone is on another scale; the judge is told whose it must be."""
    await scored(judge)
    (body,) = judge.asked("POST", "/v1/score")
    asked = {name: body[name] for name in ("teacher", "rubric", "run", "step")}
    assert asked == {"teacher": "required", "rubric": "medical-safety", "run": "run-a", "step": 7}
    assert body["items"][0]["risk"] == "low"


async def test_a_mock_teacher_is_refused_unless_it_was_asked_for(judge: LoopJudge) -> None:
    """The message names the key and the recipe's field; a rehearsal may have the reward."""
    judge.provider = "mock"
    with pytest.raises(RecipeError, match=r"DEEPSEEK_API_KEY.*allow_mock"):
        await scored(judge)
    assert (await scored(judge, allow_mock=True)).reward == 0.5


async def test_what_no_database_can_hold_is_judged_as_a_replacement_mark(judge: LoopJudge) -> None:
    """A NUL or a lone surrogate in a completion costs that character, not the judgement."""
    result = await scored(judge, "就\x00医\ud800")
    (body,) = judge.asked("POST", "/v1/score")
    assert body["items"][0]["response"] == "就\ufffd医\ufffd"
    assert result.reward == 0.5


@pytest.mark.parametrize(
    ("status", "code"), [(503, "unavailable"), (429, "overloaded"), (504, "deadline_exceeded")]
)
async def test_a_judge_that_cannot_answer_now_is_a_failure_without_a_reward(
    judge: LoopJudge, status: int, code: str
) -> None:
    """Whatever may pass by itself is a failed judgement that may be asked for again."""
    judge.enqueue("item-1", Refusal(status, "not now"))
    result = await scored(judge)
    assert (result.reward, result.status) == (None, "failed")
    assert result.error is not None
    assert (result.error.code, result.error.retryable) == (code, True)


async def test_a_request_that_the_judge_refuses_is_an_error_of_the_run(judge: LoopJudge) -> None:
    """Waiting mends no wrong request, so it is raised."""
    judge.enqueue("item-1", Refusal(422, "no such rubric"))
    with pytest.raises(InvalidInput, match="no such rubric"):
        await scored(judge)


async def test_a_failed_judgement_is_handed_on_as_it_is(judge: LoopJudge) -> None:
    """The judge's own `failed` keeps its reason and has no reward."""
    judge.enqueue("item-1", verdict(None, retryable=False))
    result = await scored(judge)
    assert result.reward is None
    assert result.error is not None
    assert result.error.retryable is False


@pytest.mark.parametrize("code", ["budget_exceeded", "out_of_credit", "teacher_refused"])
async def test_a_judge_that_will_judge_nothing_more_stops_the_run(
    judge: LoopJudge, code: str
) -> None:
    """One such failure is enough: the rest of the batch would meet the same."""
    error = ItemError(code=code, message="the cap is 5 USD", retryable=False)
    judge.enqueue("item-1", verdict(None, error=error))
    with pytest.raises(TrainingStopped, match=f"{code}: the cap is 5 USD.*same command again"):
        await scored(judge)


async def test_a_failure_of_one_answer_stops_nothing(judge: LoopJudge) -> None:
    """What is wrong with this answer is wrong with no other."""
    error = ItemError(code="too_long", message="40,000 characters", retryable=False)
    judge.enqueue("item-1", verdict(None, error=error))
    assert (await scored(judge)).reward is None


async def test_each_source_is_asked_and_weighed(judge: LoopJudge) -> None:
    """The exact check gets the right answer and no teacher; the reward is the weighted sum."""
    async with JudgeClient(judge.url) as client:
        scorer = Scorer(client, "medical-safety", "r", False, judge=0.5, exact=2.0)
        row = row_of("q1").model_copy(update={"gold": "42"})
        result, parts = await scorer.score(row, "item-1", "42", step=1)
    assert parts == {"judge": 0.5, "exact": 0.5}
    assert result.reward == 0.5 * 0.5 + 2.0 * 0.5
    bodies = judge.asked("POST", "/v1/score")
    asked = [(body["rubric"], body["teacher"], body["items"][0]["reference"]) for body in bodies]
    assert asked == [("medical-safety", "required", "42"), ("finance", "off", "42")]


async def test_one_source_that_fails_leaves_no_reward(judge: LoopJudge) -> None:
    """A part is no whole."""
    judge.enqueue("item-1", verdict(0.9), verdict(None))
    async with JudgeClient(judge.url) as client:
        scorer = Scorer(client, "medical-safety", "r", False, judge=1.0, exact=1.0)
        result, parts = await scorer.score(row_of("q1"), "item-1", "…", step=1)
    assert (result.status, result.reward, parts) == ("failed", None, {"judge": 0.9, "exact": None})


async def test_the_whole_conversation_and_its_criteria_are_sent(judge: LoopJudge) -> None:
    """Every turn but the system's, and what the row's answer is graded by; the exact check, which
    grades none, gets no criteria."""
    criteria = (Criterion(text="说到就医", points=2.0),)
    row = row_of("q1", "那要去医院吗？").model_copy(
        update={
            "instruction": "你是医生",
            "history": (("头痛三天", "发烧吗？"),),
            "criteria": criteria,
        }
    )
    async with JudgeClient(judge.url) as client:
        await Scorer(client, "criteria", "r", False, 0.5, 0.5).score(row, "i", "就医", step=1)
    by_judge, exact = (body["items"][0] for body in judge.asked("POST", "/v1/score"))
    turns = [(each["role"], each["content"]) for each in by_judge["messages"]]
    assert turns == [("user", "头痛三天"), ("assistant", "发烧吗？"), ("user", "那要去医院吗？")]
    assert (by_judge["criteria"], exact["criteria"]) == ([criteria[0].model_dump()], None)


@pytest.mark.parametrize("code", ["criteria_not_graded", "no_criteria"])
async def test_a_rubric_that_does_not_fit_the_criteria_stops_the_run(
    judge: LoopJudge, code: str
) -> None:
    """Every later judgement would fail, too; the message says what to set."""
    error = ItemError(code=code, message="does not fit", retryable=False)
    judge.enqueue("item-1", verdict(None, error=error))
    with pytest.raises(TrainingStopped, match="services"):
        await scored(judge)
