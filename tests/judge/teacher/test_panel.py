"""Laws of a panel: every member is paid and kept by itself, and nobody's failure is a score."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from pydantic import ValidationError

from galen.errors import InvalidInput
from judge.audit.archive import Archive
from judge.audit_schemas import RolloutQuery
from judge.pair_schemas import CompareRequest, PairItem
from judge.rubrics.rubric import RubricRegistry
from judge.rubrics.rubric_file import PanelRule
from judge.schemas import ItemError, ScoreItem, ScoreRequest, ScoreResult
from judge.scoring.service import JudgeService
from judge.settings import JudgeSettings
from judge.teacher.openai_teacher import teacher_of
from judge.teacher.pair_reply import FIRST
from judge.teacher.panel import Panel
from judge.teacher.verdict import Client, Spent, Teacher, TeacherError, Verdict
from judge.text.case import Case, PairCase
from tests.fakes.scripted_teacher import ScriptedTeacher, verdict
from tests.judge.conftest import ServiceMaker

PROMPT = "嗓子痛两天，怎么办？"
ANSWER = "嗓子痛可能与咽炎有关。建议多喝温水。如果高烧不退，请尽快就医。"
OTHER = "嗓子痛的话多喝温水，注意休息，清淡饮食，如果加重请及时去医院看看。"
AWAY = TeacherError("provider_unavailable", "it is away", retryable=True)


@pytest.fixture
def database_url(sqlite_url: str) -> str:
    """The ledger's own laws hold on both databases; these are about who is asked."""
    return sqlite_url


class Named(ScriptedTeacher):
    """A member: its provider, what it scores everywhere, or how it fails."""

    def __init__(self, name: str, score: float | TeacherError, danger: str = "") -> None:
        super().__init__(self._say)
        self.provider = name
        self.score, self._danger = score, danger

    def identity(self) -> dict[str, Any]:
        return {"provider": self.provider, "model": "m"}

    async def _say(self, case: Case, client: Client) -> Verdict:
        if isinstance(self.score, TeacherError):
            raise self.score
        names = ("safety", "logic", "completeness", "empathy")
        shown = (FIRST,) if isinstance(case, PairCase) else names
        return verdict(
            scores=dict.fromkeys(shown, self.score),
            evidence={self._danger: ANSWER[:10]} if self._danger else {},
            provider=self.provider,
            spent=Spent(cost_usd=0.5),
        )


def panel(*scores: float | TeacherError, dangers: tuple[str, ...] = ()) -> Panel:
    seen = (*dangers, *[""] * len(scores))
    return Panel(tuple(Named(f"t{n}", s, d) for n, (s, d) in enumerate(zip(scores, seen))))  # noqa: B905


def under(rubrics: RubricRegistry, **rule: Any) -> RubricRegistry:
    """`medical` with another rule for panels."""
    rubric = rubrics.get("medical")
    file = rubric.file.model_copy(update={"panel": PanelRule(**rule)})
    return RubricRegistry([replace(rubric, file=file)])


ServiceOf = Callable[..., JudgeService]


@pytest.fixture
def service_of(make_service: ServiceMaker, rubrics: RubricRegistry) -> ServiceOf:
    def make(teacher: Teacher, **rule: Any) -> JudgeService:
        service = make_service(teacher)
        service._rubrics = under(rubrics, **rule)
        return service

    return make


def asked(**fields: Any) -> ScoreRequest:
    item = ScoreItem(id="a", prompt=PROMPT, response=ANSWER)
    return ScoreRequest(rubric="medical", items=(item,), teacher="required", **fields)


async def one(service: JudgeService, **fields: Any) -> ScoreResult:
    (result,) = (await service.score(asked(**fields))).items
    return result


@pytest.mark.parametrize(
    ("rule", "scores", "expected", "spread"),
    [
        ("mean", (0.9, 0.6, 0.3), 0.6, 0.6),
        ("vote", (0.9, 0.8, 0.1), 0.8, 0.8),
        ("vote", (0.9, 0.1, 0.1), 0.1, 0.8),
        ("mean", (0.7, 0.7), 0.7, 0.0),
    ],
)
async def test_scores_are_the_mean_or_the_median(
    service_of: ServiceOf, rule: str, scores: tuple[float, ...], expected: float, spread: float
) -> None:
    """And the result says what each member said and how far apart they lie."""
    result = await one(service_of(panel(*scores), combine=rule))
    assert result.teacher is not None and result.panel is not None
    assert result.teacher.scores["logic"] == pytest.approx(expected)
    assert (result.provider, result.error) == ("panel", None)
    assert result.panel.spread["logic"] == pytest.approx(spread)
    assert [each.scores and each.scores["logic"] for each in result.panel.members] == [*scores]


@pytest.mark.parametrize(
    ("dangers", "flags"),
    [(("rx_misuse", "rx_misuse"), ("rx_misuse",)), (("rx_misuse",), ())],
)
async def test_a_danger_is_seen_if_half_of_the_panel_sees_it(
    service_of: ServiceOf, dangers: tuple[str, ...], flags: tuple[str, ...]
) -> None:
    """One of three is a suspicion; two of three confirm it."""
    result = await one(service_of(panel(0.9, 0.9, 0.9, dangers=dangers)))
    assert result.flags == flags


async def test_each_member_is_paid_once_and_has_a_row(
    service_of: ServiceOf, archive: Archive
) -> None:
    """The panel's own row names the members and costs nothing; a repeat asks nobody."""
    teachers = panel(0.9, 0.5)
    first = await one(service_of(teachers), run="r")
    again = await one(service_of(teachers))
    assert (first.cost, again.cost, again.cached, again.panel) == (1.0, 0.0, True, first.panel)
    assert [len(each.asked) for each in teachers.members if isinstance(each, Named)] == [1, 1]
    (rollout,) = archive.rollouts("r", RolloutQuery()).rollouts
    assert rollout.verdict_key is not None
    kept = archive.verdict(rollout.verdict_key).verdict
    assert kept is not None
    assert (kept.provider, kept.cost_usd, kept.scores["logic"]) == ("panel", 0.0, 0.7)


async def test_a_member_that_judged_before_is_not_asked_again(service_of: ServiceOf) -> None:
    """Another panel with the same member pays only for the new one."""
    old = panel(0.9, 0.5)
    await one(service_of(old))
    fresh = Named("t9", 0.1)
    result = await one(service_of(Panel((old.members[0], fresh))))
    assert (result.cost, len(fresh.asked)) == (0.5, 1)


async def test_without_a_minimum_one_failure_fails_the_item(service_of: ServiceOf) -> None:
    """The item says who failed and why; what the others said is kept for the next time."""
    teachers = panel(0.9, AWAY)
    result = await one(service_of(teachers))
    assert (result.status, result.reward, result.cost) == ("failed", None, 0.5)
    assert result.error is not None and result.error.code == "panel_incomplete"
    assert "1 of 2 judged and 2 are needed (provider_unavailable: it is away)" in (
        result.error.message
    )
    back = Named("t1", 0.5)
    mended = await one(service_of(Panel((teachers.members[0], back))))
    assert (mended.status, mended.cost) == ("ok", 0.5)


async def test_the_rest_judges_where_the_rubric_allows(service_of: ServiceOf) -> None:
    """The item says so, and nothing is kept of the incomplete panel: the next request is whole."""
    teachers = panel(0.9, 0.5, AWAY)
    service = service_of(teachers, minimum=2)
    part = await one(service)
    assert part.teacher is not None and part.panel is not None
    assert (part.status, part.teacher.scores["logic"]) == ("ok", pytest.approx(0.7))
    assert part.error == ItemError(
        code="panel_incomplete",
        message="1 of 3 gave no verdict (provider_unavailable: it is away)",
        retryable=True,
    )
    assert part.panel.members[2].error == "provider_unavailable"
    away = teachers.members[2]
    assert isinstance(away, Named)
    away.score = 0.1
    whole = await one(service)
    assert whole.teacher is not None
    assert (whole.error, whole.teacher.scores["logic"], whole.cost) == (
        None,
        pytest.approx(0.5),
        0.5,
    )


async def test_a_panel_compares_too(service_of: ServiceOf) -> None:
    """Each order is the panel's, with its members' disagreement."""
    pair = PairItem(id="p", prompt=PROMPT, response_a=ANSWER, response_b=OTHER)
    request = CompareRequest(rubric="medical", items=(pair,))
    (result,) = (await service_of(panel(1.0, 1.0, 0.0), combine="vote").compare(request)).items
    assert (result.winner, result.orders_agree, result.provider) == ("draw", False, "panel")
    assert result.a_first is not None and result.a_first.panel is not None
    assert (result.a_first.winner, result.a_first.panel.spread) == ("a", {FIRST: 1.0})


def test_a_panels_members_differ_and_have_keys() -> None:
    """One member, the same one twice, or one without a key is refused at the start."""
    here = {"base_url": "http://127.0.0.1:9", "model": "a"}
    for members in ([here], [here, here]):
        with pytest.raises(ValidationError, match="two"):
            JudgeSettings.model_validate({"panel": members})
    paid = {"model": "deepseek-flash", "key_variable": "OTHER_KEY"}
    free = {**here, "price": {"cache_hit": 0, "cache_miss": 0, "output": 0}}
    settings = JudgeSettings.model_validate({"panel": [free, paid]})
    with pytest.raises(InvalidInput, match="OTHER_KEY"):
        teacher_of(settings, {"DEEPSEEK_API_KEY": "k"})
    made = teacher_of(settings, {"OTHER_KEY": "k"})
    assert isinstance(made, Panel)
    assert [each.provider for each in made.members] == ["127.0.0.1", "api.deepseek.com"]
