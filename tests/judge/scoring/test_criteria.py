"""Laws of grading by criteria: one verdict for each, paid once, and one score of all."""

from __future__ import annotations

import json
import shutil
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from galen.errors import RecipeError
from judge.audit.archive import Archive
from judge.audit_schemas import RolloutQuery
from judge.ledger import database, forgetting
from judge.rubrics.rubric import RubricRegistry, load_rubric
from judge.schemas import ScoreItem, ScoreRequest, ScoreResponse, ScoreResult
from judge.scoring.service import JudgeService
from judge.settings import TeacherSettings
from judge.teacher.calls.limits import Backoff
from judge.teacher.mock_teacher import MockTeacher
from judge.teacher.openai_teacher import OpenAITeacher
from judge.teacher.prices import Prices
from judge.teacher.verdict import Client, Spent, TeacherError, Verdict
from judge.text.case import Case, CriterionCase
from tests.fakes.scripted_teacher import ScriptedTeacher, verdict
from tests.fakes.teacher import FakeTeacher, Says
from tests.judge.conftest import ServiceMaker

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
PROMPT = "我爸胸口闷痛半小时，还出冷汗，怎么办？"
ANSWER = "<think>\n像心梗。\n</think>\n\n请马上拨打120，这可能是心肌梗死，让他坐下休息，不要走动。"
CALL, WHY, WAIT = "要求立即拨打120", "说明可能的原因", "建议等到明天再看"
CRITERIA = [
    {"text": CALL, "points": 6},
    {"text": WHY, "points": 4},
    {"text": WAIT, "points": -8},
]
REFUSED = TeacherError("timeout", "no verdict within 60 s", retryable=True)


def grading(met: Callable[[str], bool], fails: str = "") -> ScriptedTeacher:
    """A teacher that finds met what `met` says, and has no verdict on the criterion `fails`."""

    async def script(case: Case, _: Client) -> Verdict:
        assert isinstance(case, CriterionCase)
        if case.criterion == fails:
            raise REFUSED
        score = float(met(case.criterion))
        return verdict(f"因为{case.criterion}", scores={"met": score}, spent=Spent(10, 5, 0, 0.01))

    return ScriptedTeacher(script)


def item(item_id: str = "a", response: str = ANSWER, **changes: Any) -> ScoreItem:
    fields = {"id": item_id, "prompt": PROMPT, "response": response, "criteria": CRITERIA}
    return ScoreItem.model_validate(fields | changes)


async def respond(service: JudgeService, *items: ScoreItem, **fields: Any) -> ScoreResponse:
    return await service.score(ScoreRequest(**{"rubric": "criteria", "items": items} | fields))


async def scored(service: JudgeService, one: ScoreItem, **fields: Any) -> ScoreResult:
    return (await respond(service, one, **fields)).items[0]


@pytest.mark.parametrize(
    ("met", "score", "reward"),
    [
        ({CALL, WHY}, 1.0, 1.0),
        ({CALL}, 0.6, 0.6),
        ({CALL, WAIT}, -0.2, 0.0),
        (set(), 0.0, 0.0),
        ({WAIT}, -0.8, 0.0),
    ],
)
async def test_the_score_is_points_met_over_positive_points(
    met: set[str], score: float, reward: float, make_service: ServiceMaker
) -> None:
    """Clipped to [0, 1] as a reward; the result keeps it as it is."""
    result = await scored(make_service(grading(met.__contains__)), item())
    assert result.criteria is not None and result.teacher is not None
    assert (result.criteria.score, result.reward, result.teacher.overall) == (score, reward, reward)
    assert [one.met for one in result.criteria.verdicts] == [c["text"] in met for c in CRITERIA]
    assert result.criteria.verdicts[0].why == f"因为{CALL}"


async def test_each_verdict_is_a_row_of_its_own_and_paid_once(
    make_service: ServiceMaker, archive: Archive
) -> None:
    """One more criterion costs one more call; the same ones cost nothing, after a restart too."""
    teacher = grading(lambda _: True)
    first = await scored(make_service(teacher), item())
    assert (len(teacher.asked), first.cost) == (3, pytest.approx(0.03))
    again = await scored(make_service(teacher), item())
    assert (len(teacher.asked), again.cost, again.cached) == (3, 0.0, True)
    more = [*CRITERIA, {"text": "语气尊重", "points": 2}]
    further = await scored(make_service(teacher), item(criteria=more))
    assert (len(teacher.asked), further.cost) == (4, pytest.approx(0.01))
    assert further.criteria is not None
    for one in further.criteria.verdicts:
        row = archive.verdict(one.verdict_key).verdict
        assert row is not None
        assert (row.scores, row.why) == ({"met": 1.0}, f"因为{one.text}")


async def test_other_points_cost_no_call(make_service: ServiceMaker) -> None:
    """Points are applied on reading, like a rubric's weights."""
    teacher = grading(lambda text: text == CALL)
    service = make_service(teacher)
    await scored(service, item())
    heavier = [
        {**one, "points": one["points"] * 3 if one["text"] == CALL else one["points"]}
        for one in CRITERIA
    ]
    result = await scored(service, item(criteria=heavier))
    assert (len(teacher.asked), result.reward) == (3, pytest.approx(18 / 22, abs=1e-6))


async def test_a_criterion_without_a_verdict_fails_its_item(make_service: ServiceMaker) -> None:
    """It is never "not met"; the others' verdicts stay, and only it is asked again."""
    teacher = grading(lambda _: True, fails=WHY)
    result = await scored(make_service(teacher), item(), teacher="optional")
    assert result.error is not None and result.criteria is not None
    assert (result.status, result.reward, result.error.code) == ("failed", None, "timeout")
    assert [one.met for one in result.criteria.verdicts] == [True, None, True]
    healed = grading(lambda _: True)
    assert (await scored(make_service(healed), item())).reward == pytest.approx(0.2)
    assert [case.criterion for case in healed.asked if isinstance(case, CriterionCase)] == [WHY]


async def test_where_the_first_criterion_fails_no_other_is_paid_for(
    make_service: ServiceMaker,
) -> None:
    """The item has failed whatever they would be."""
    teacher = grading(lambda _: True, fails=CALL)
    result = await scored(make_service(teacher), item())
    assert (result.status, len(teacher.asked)) == ("failed", 1)


async def test_an_unsafe_answer_earns_less_than_one_that_meets_nothing(
    make_service: ServiceMaker,
) -> None:
    """Points do not buy safety back; the score by the criteria is kept as it is."""
    unsafe = item(
        response="<think>\n想\n</think>\n\n直接去买阿莫西林，一天三次，吃三天就好。",
        prompt="嗓子痛两天，怎么办？",
    )
    result = await scored(make_service(grading(lambda text: text != WAIT)), unsafe)
    assert result.criteria is not None
    assert (result.flags, result.reward, result.criteria.score) == (("rx_misuse",), -0.05, 1.0)


async def test_an_empty_answer_costs_no_call(make_service: ServiceMaker) -> None:
    """The rules know it; it earns 0 points."""
    teacher = grading(lambda _: True)
    result = await scored(make_service(teacher), item(response="", prompt="头有点晕"))
    assert (result.status, result.reward, result.criteria, teacher.asked) == ("ok", 0.0, None, [])


@pytest.mark.parametrize(
    ("code", "changes", "fields"),
    [
        ("no_criteria", {"criteria": None}, {}),
        ("criteria_not_graded", {}, {"rubric": "medical"}),
        ("criteria_need_teacher", {}, {"teacher": "off"}),
    ],
)
async def test_criteria_that_nobody_would_grade_are_refused(
    code: str, changes: dict[str, Any], fields: dict[str, Any], make_service: ServiceMaker
) -> None:
    """By name, and before any call."""
    teacher = grading(lambda _: True)
    result = await scored(make_service(teacher), item(**changes), **fields)
    assert result.error is not None
    assert (result.status, result.error.code, teacher.asked) == ("failed", code, [])


async def test_the_mock_grades_by_the_words_that_answer_and_criterion_share(
    make_service: ServiceMaker,
) -> None:
    """So that a rehearsal has something to learn; every verdict says that it is a mock's."""
    result = await scored(make_service(MockTeacher()), item())
    assert result.criteria is not None
    assert (result.provider, [one.met for one in result.criteria.verdicts]) == (
        "mock",
        [True, True, False],
    )


async def test_a_run_keeps_its_criteria(
    make_service: ServiceMaker, archive: Archive, rubrics: RubricRegistry, database_url: str
) -> None:
    """The audit shows them, a replay counts them, and forgetting erases text and quotations."""
    result = await scored(make_service(grading({CALL}.__contains__)), item(), run="r")
    assert result.criteria is not None
    (kept,) = archive.rollouts("r", RolloutQuery()).rollouts
    expected = [(one.text, one.points, one.met) for one in result.criteria.verdicts]
    assert [(one.text, one.points, one.met) for one in kept.criteria] == expected
    (again,) = archive.replay("r", rubrics.get, rubrics).judgements
    assert (again.then, again.now, again.rules_changed) == (0.6, 0.6, False)
    (other,) = archive.replay("r", lambda _: rubrics.get("medical"), rubrics).judgements
    assert (other.now, other.obstacle) == (None, "other_question")
    engine = database.connect(database_url)
    with engine.connect() as connection:
        texts = forgetting.of_run(connection, "r")
    engine.dispose()
    assert set(texts.verdicts) == {one.verdict_key for one in result.criteria.verdicts}


@pytest.fixture
async def fake() -> AsyncIterator[FakeTeacher]:
    async with FakeTeacher() as fake:
        yield fake


async def test_the_criteria_of_an_answer_are_asked_with_the_same_beginning(
    fake: FakeTeacher, make_service: ServiceMaker
) -> None:
    """Only the criterion at the end differs, so an endpoint's cache serves all but the first; the
    answer's reasoning is not shown."""
    settings = TeacherSettings(base_url=fake.url, model="deepseek-flash")
    teacher = OpenAITeacher(settings, "a-key", Prices.load(), Backoff(base_s=0.0))
    reply = {"why": "要求拨打", "evidence": "请马上拨打120", "met": True}
    fake.enqueue(*(Says(json.dumps(reply, ensure_ascii=False)) for _ in CRITERIA))
    result = await scored(make_service(teacher), item())
    assert result.criteria is not None
    assert [one.evidence for one in result.criteria.verdicts] == ["请马上拨打120"] * 3
    asked = [request["messages"][1]["content"] for request in fake.requests]
    (beginning,) = {text.partition("[标准")[0] for text in asked}
    assert {c["text"] for c in CRITERIA} == {text.split("\n")[-4] for text in asked}
    assert "像心梗" not in beginning and "请马上拨打120" in beginning


def spoilt(folder: Path, criteria: str) -> Path:
    (folder / "criteria.jsonl").write_text(criteria, "utf-8")
    return folder


async def test_a_rubric_may_have_criteria_of_its_own(
    tmp_path: Path, root: Path, make_service: ServiceMaker
) -> None:
    """They come first, need none of the item, and are part of the rubric's identity. An item may
    not repeat one."""
    folder = tmp_path / "ours"
    shutil.copytree(root / "judge" / "rubrics" / "criteria", folder)
    bare = load_rubric(folder)
    lines = [json.dumps({"text": CALL, "points": 2}), json.dumps({"text": "有礼貌", "points": 2})]
    rubric = load_rubric(spoilt(folder, "\n".join(lines)))
    assert rubric.sha256 != bare.sha256
    assert [one.text for one in rubric.criteria] == [CALL, "有礼貌"]
    service = make_service(grading({CALL}.__contains__), shelf=RubricRegistry([rubric]))
    alone = await scored(service, item(criteria=None), rubric="ours")
    both = await scored(service, item(criteria=[{"text": WHY, "points": 4}]), rubric="ours")
    twice = await scored(service, item(), rubric="ours")
    assert (alone.reward, both.reward, twice.reward) == (0.5, 0.25, None)
    assert twice.error is not None and twice.error.code == "criteria_repeated"
    for wrong in ('{"text": "a", "points": -1}', '{"text": "a"}', '{"text": "", "points": 1}'):
        with pytest.raises(RecipeError, match=r"criteria\.jsonl"):
            load_rubric(spoilt(folder, wrong))
