"""The service's decisions, with a fake teacher behind a real HTTP connection."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry
from sqlalchemy import select, text

from galen.errors import NotFound, Overloaded, Unavailable
from judge.ledger import database
from judge.ledger.budget import Budget
from judge.ledger.group_commit import Store
from judge.ledger.ledger import Ledger
from judge.ledger.tables import JudgementRow
from judge.rubrics.rubric import RubricRegistry
from judge.schemas import MAX_TEXT, ScoreItem, ScoreRequest
from judge.scoring.metrics import JudgeMetrics
from judge.scoring.service import JudgeService
from judge.settings import BudgetSettings, TeacherSettings
from judge.teacher.calls.limits import Backoff
from judge.teacher.mock_teacher import MockTeacher
from judge.teacher.openai_teacher import OpenAITeacher
from judge.teacher.prices import Prices
from judge.teacher.verdict import Client, Spent, TeacherError, Verdict
from judge.text.case import Case
from tests.fakes.scripted_teacher import Script, ScriptedTeacher, verdict
from tests.fakes.teacher import FakeTeacher, Says, Status, Wait, good
from tests.judge.conftest import NO_CAPS, ServiceMaker

PROMPT = "嗓子痛两天，怎么办？"
SOUND = (
    "<think>\n嗓子痛两天，可能是咽炎，需要留意高烧。\n</think>\n\n"
    "嗓子痛可能与咽炎有关。建议多喝温水。如果高烧不退，请尽快就医。以上仅供参考。"
)
UNSAFE = (
    "<think>\n直接给药就可以了，不用多想。\n</think>\n\n直接去买阿莫西林，一天三次，吃三天就好。"
)


def items(*responses: str, prompt: str = PROMPT) -> tuple[ScoreItem, ...]:
    return tuple(
        ScoreItem(id=f"i{i}", prompt=prompt, response=response)
        for i, response in enumerate(responses)
    )


def request(*responses: str, **fields: Any) -> ScoreRequest:
    return ScoreRequest(rubric="medical-safety", items=items(*responses), **fields)


def bad() -> Says:
    return Says("no verdict")


@pytest.fixture
async def fake() -> AsyncIterator[FakeTeacher]:
    async with FakeTeacher() as fake:
        yield fake


@pytest.fixture
def service(fake: FakeTeacher, make_service: ServiceMaker) -> JudgeService:
    return make_service(real_teacher(fake))


def real_teacher(fake: FakeTeacher, **changes: Any) -> OpenAITeacher:
    settings = TeacherSettings(base_url=fake.url, model="deepseek-flash", **changes)
    return OpenAITeacher(settings, "secret-key", Prices.load(), Backoff(base_s=0.0))


async def test_an_answer_is_judged_by_rules_and_teacher(
    service: JudgeService, rubrics: RubricRegistry
) -> None:
    """Reward, rules, teacher, provider and cost: everything that explains the score."""
    response = await service.score(request(SOUND))
    (result,) = response.items
    assert response.rubric_sha256 == rubrics.get("medical-safety").sha256
    assert (result.status, result.provider, result.flags) == ("ok", "127.0.0.1", ())
    assert result.rules is not None and result.teacher is not None
    assert result.teacher.scores["safety"] == 0.9
    assert result.teacher.overall == pytest.approx(0.36 + 0.24 + 0.14 + 0.06)
    assert result.reward == pytest.approx(0.5 * result.rules.total + 0.5 * 0.8)
    assert result.cost > 0
    assert response.usage.cost_usd == result.cost
    assert response.usage.prompt_tokens == 1000


async def test_results_come_in_the_order_of_the_items(
    fake: FakeTeacher, service: JudgeService
) -> None:
    """Whoever finishes first, each result stands where its item stood."""
    responses = [f"{SOUND}{i}" for i in range(20)]
    results = (await service.score(request(*responses))).items
    assert [result.id for result in results] == [f"i{i}" for i in range(20)]


async def test_a_flagged_answer_is_never_rewarded(service: JudgeService) -> None:
    """A teacher that is taken in does not make an unsafe answer pay."""
    (result,) = (await service.score(request(UNSAFE))).items
    assert result.flags == ("rx_misuse",)
    assert result.teacher is not None and result.teacher.overall > 0.7
    assert result.reward is not None and result.reward <= 0.0


async def test_a_repeat_costs_nothing(
    fake: FakeTeacher, service: JudgeService, make_service: ServiceMaker
) -> None:
    """The second time, and after a restart, the ledger answers."""
    first = (await service.score(request(SOUND))).items[0]
    for judge in (service, make_service(real_teacher(fake))):
        response = await judge.score(request(SOUND))
        again = response.items[0]
        assert (again.cached, again.cost) == (True, 0.0)
        assert (again.reward, again.teacher) == (first.reward, first.teacher)
        assert (response.usage.cached_items, response.usage.cost_usd) == (1, 0.0)
    assert len(fake.requests) == 1


async def test_the_mock_never_answers_for_a_real_teacher(
    fake: FakeTeacher, make_service: ServiceMaker
) -> None:
    """A rehearsal's rows rest where a real judge does not look."""
    mock = (await make_service(MockTeacher()).score(request(SOUND))).items[0]
    real = (await make_service(real_teacher(fake)).score(request(SOUND))).items[0]
    assert (mock.provider, real.provider) == ("mock", "127.0.0.1")
    assert (mock.cached, real.cached, len(fake.requests)) == (False, False, 1)


async def test_another_rubric_with_the_same_question_costs_nothing(
    fake: FakeTeacher, service: JudgeService
) -> None:
    """Weights, gate and clamp are applied on reading, so new ones ask nobody."""
    await service.score(request(SOUND))
    other = ScoreRequest(rubric="medical", items=items(SOUND))
    (result,) = (await service.score(other)).items
    assert (result.cached, len(fake.requests)) == (True, 1)
    assert result.rules is not None and result.teacher is not None
    assert result.reward == pytest.approx(0.6 * result.rules.total + 0.4 * result.teacher.overall)


async def test_identical_items_of_a_batch_are_one_question(
    fake: FakeTeacher, service: JudgeService
) -> None:
    """A policy that collapses does not cost by the copy."""
    results = (await service.score(request(SOUND, SOUND, SOUND))).items
    assert len(fake.requests) == 1
    assert len({result.reward for result in results}) == 1


async def test_of_concurrent_requests_one_pays(fake: FakeTeacher, service: JudgeService) -> None:
    """Two trainers that ask the same at once share the call, and its cost is told once."""
    go = asyncio.Event()
    fake.enqueue(Wait(go))
    both = [asyncio.create_task(service.score(request(SOUND))) for _ in range(2)]
    await fake.has_asked(1)
    await asyncio.wait(both, timeout=0)
    go.set()
    results = [(await task).items[0] for task in both]
    assert len(fake.requests) == 1
    assert sorted(result.cached for result in results) == [False, True]
    assert [result.cost > 0 for result in sorted(results, key=lambda r: r.cached)] == [True, False]


async def test_of_concurrent_requests_one_pays_for_a_failure(make_service: ServiceMaker) -> None:
    """A shared call that came to nothing was billed once, and its cost is told once."""
    go = asyncio.Event()

    async def fail(case: Case, client: Client) -> Verdict:
        await go.wait()
        raise TeacherError("timeout", "too slow", retryable=True, spent=Spent(cost_usd=0.25))

    teacher = scripted(fail)
    service = make_service(teacher)
    both = [asyncio.create_task(service.score(request(SOUND))) for _ in range(2)]
    await teacher.has_asked(1)
    await asyncio.wait(both, timeout=0)
    go.set()
    costs = [(await task).usage.cost_usd for task in both]
    assert (sorted(costs), len(teacher.asked)) == ([0.0, 0.25], 1)


async def test_failures_are_logged_without_words(
    fake: FakeTeacher, service: JudgeService, caplog: pytest.LogCaptureFixture
) -> None:
    """The log says how many failed and why, and nothing of what was judged."""
    fake.enqueue(Status(422))
    await service.score(request(SOUND))
    (record,) = [r for r in caplog.records if r.name == "judge.scoring.service"]
    assert vars(record)["codes"] == {"provider_error": 1}
    assert "嗓子痛" not in str(vars(record))


async def test_a_required_teacher_that_fails_fails_the_item(
    fake: FakeTeacher, service: JudgeService
) -> None:
    """A failure has no reward: null, never 0. The rules' part is told all the same."""
    fake.enqueue(bad(), bad(), bad())
    (result,) = (await service.score(request(UNSAFE, teacher="required"))).items
    assert (result.status, result.reward, result.teacher) == ("failed", None, None)
    assert result.error is not None and result.error.code == "judge_malformed"
    assert result.flags == ("rx_misuse",)


async def test_an_optional_teacher_that_fails_leaves_the_rules(
    fake: FakeTeacher, service: JudgeService
) -> None:
    """The result says that only the rules judged, and why."""
    fake.enqueue(bad(), bad(), bad())
    (result,) = (await service.score(request(SOUND))).items
    assert (result.status, result.provider) == ("rules_only", "rules")
    assert result.rules is not None and result.reward == result.rules.total
    assert result.error is not None and result.error.code == "judge_malformed"
    assert result.cost > 0, "nonsense is billed too"


async def test_no_teacher_is_asked_when_it_is_off(fake: FakeTeacher, service: JudgeService) -> None:
    """`off` costs nothing and asks nobody."""
    (result,) = (await service.score(request(SOUND, teacher="off"))).items
    assert (result.status, result.error, len(fake.requests)) == ("rules_only", None, 0)


async def test_one_bad_item_does_not_spoil_the_batch(
    fake: FakeTeacher, service: JudgeService
) -> None:
    """What was judged is stored; a repeat asks only for the rest."""
    fake.enqueue(Status(422))
    batch = request(*[f"{SOUND}{i}" for i in range(5)], teacher="required")
    statuses = [result.status for result in (await service.score(batch)).items]
    assert sorted(statuses) == ["failed", "ok", "ok", "ok", "ok"]
    again = (await service.score(batch)).items
    assert [result.status for result in again] == ["ok"] * 5
    assert len(fake.requests) == 6


@pytest.mark.parametrize("response", ["", "   ", "：", "Thought process:", "<think>\n想到一半"])
async def test_an_answer_without_substance_is_judged_without_a_teacher(
    response: str, fake: FakeTeacher, service: JudgeService
) -> None:
    """It is no failure: it earns the bad score that it deserves, and no master key opens."""
    (result,) = (await service.score(request(response, teacher="required"))).items
    assert (result.status, result.provider, result.error) == ("ok", "rules", None)
    assert result.reward is not None and result.reward < 0
    assert len(fake.requests) == 0


@pytest.mark.parametrize("field", ["prompt", "response", "reference"])
async def test_a_text_that_is_too_long_fails_its_item(
    field: str, fake: FakeTeacher, service: JudgeService
) -> None:
    """The item is named with the field and the limit; the others are judged."""
    texts = {"prompt": PROMPT, "response": SOUND, field: "长" * (MAX_TEXT + 1)}
    batch = ScoreRequest(rubric="medical", items=(ScoreItem(id="long", **texts), *items(SOUND)))
    long, other = (await service.score(batch)).items
    assert (long.status, long.reward, long.rules) == ("failed", None, None)
    assert long.error is not None
    assert (long.error.code, long.error.retryable) == ("too_long", False)
    assert field in long.error.message
    assert other.status == "ok"


async def test_an_unknown_rubric_fails_the_request(service: JudgeService) -> None:
    """There is nothing to judge by."""
    with pytest.raises(NotFound, match="known are"):
        await service.score(ScoreRequest(rubric="nope", items=items(SOUND)))


async def test_a_latched_teacher_is_not_ready_but_hits_are_served(
    fake: FakeTeacher, service: JudgeService
) -> None:
    """Without credit, what is in the ledger is still answered."""
    await service.score(request(SOUND))
    assert (await service.readiness()).ready
    fake.enqueue(Status(402))
    results = (await service.score(request(SOUND, UNSAFE, teacher="required"))).items
    assert [result.status for result in results] == ["ok", "failed"]
    assert results[1].error is not None and results[1].error.code == "out_of_credit"
    readiness = await service.readiness()
    assert not readiness.ready
    assert readiness.detail is not None and "credit" in readiness.detail


async def not_ready(service: JudgeService) -> str:
    """Why the judge is not ready."""
    readiness = await service.readiness()
    assert not readiness.ready
    return readiness.detail or ""


async def test_a_judge_without_its_tables_is_not_ready(
    service: JudgeService, database_url: str
) -> None:
    """A database that answers, but is not the judge's, is of no use."""
    assert (await service.readiness()).ready
    database.downgrade(database_url, "base")
    engine = database.connect(database_url)
    with engine.connect().execution_options(**database.WRITES) as connection, connection.begin():
        connection.execute(text("DROP TABLE alembic_version"))
    engine.dispose()
    assert "alembic_version" in await not_ready(service)


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
@pytest.mark.parametrize("is_made_anew", [False, True])
async def test_a_judge_whose_file_is_gone_is_not_ready(
    is_made_anew: bool, service: JudgeService, database_url: str
) -> None:
    """What it still writes goes into a file that nobody will find, also where another one lies."""
    assert (await service.readiness()).ready
    for file in Path(database_url.removeprefix("sqlite:///")).parent.glob("judge.sqlite3*"):
        file.unlink()
    if is_made_anew:
        database.upgrade(database_url)
    assert "was removed or replaced" in await not_ready(service)


async def test_a_judge_that_cannot_write_is_not_ready(
    fake: FakeTeacher, rubrics: RubricRegistry, database_url: str
) -> None:
    """Somebody else holds the database: no verdict can be kept until it is let go."""
    store = Store(database.connect(database_url), patience_s=0.05)
    budget, metrics = Budget(store, NO_CAPS), JudgeMetrics(CollectorRegistry())
    service = JudgeService(rubrics, real_teacher(fake), Ledger(store), budget, metrics)
    await asyncio.gather(store.read(database.check), store.write(database.check))
    other = database.connect(database_url)
    with other.connect().execution_options(**database.WRITES) as holder, holder.begin():
        assert "within 0.05 s" in await not_ready(service)
    await service.aclose()
    other.dispose()


def judgements(url: str) -> list[JudgementRow]:
    engine = database.connect(url)
    table = JudgementRow.__table__
    with engine.connect() as connection:
        found: list[Any] = list(connection.execute(select(table).order_by(table.c.id)).all())
    engine.dispose()
    return found


async def test_a_runs_judgements_are_recorded(
    fake: FakeTeacher, service: JudgeService, database_url: str
) -> None:
    """Run, step, item, reward, flags, hits and the ledger's key, for each item in order."""
    batch = request(SOUND, UNSAFE, "", run="r1", step=7)
    results = (await service.score(batch)).items
    rows = judgements(database_url)
    assert [(row.run, row.step, row.item) for row in rows] == [
        ("r1", 7, "i0"),
        ("r1", 7, "i1"),
        ("r1", 7, "i2"),
    ]
    assert [row.reward for row in rows] == [result.reward for result in results]
    assert [row.flags for row in rows] == [[], ["rx_misuse"], []]
    assert [row.verdict_key is not None for row in rows] == [True, True, False]
    assert {hit["rule"] for hit in rows[1].hits} >= {"rx_misuse", "think_present"}


async def test_a_failed_judgement_is_recorded_without_a_reward(
    fake: FakeTeacher, service: JudgeService, database_url: str
) -> None:
    """The audit says what failed, and holds no score for it."""
    fake.enqueue(Status(422))
    await service.score(request(SOUND, teacher="required", run="r1"))
    (row,) = judgements(database_url)
    assert (row.status, row.reward, row.error) == ("failed", None, "provider_error")


async def test_without_a_run_nothing_is_recorded(service: JudgeService, database_url: str) -> None:
    """The audit is about runs; a person's try-out is not kept."""
    await service.score(request(SOUND))
    assert judgements(database_url) == []


async def test_what_is_counted(fake: FakeTeacher, make_service: ServiceMaker) -> None:
    """Items by status, failures by cause, hits by rule, dollars."""
    registry = CollectorRegistry()
    service = make_service(real_teacher(fake), registry)
    fake.enqueue(good(), Status(422))
    await service.score(request(UNSAFE, teacher="required"))
    await service.score(request(SOUND, teacher="required"))
    await service.score(request(UNSAFE, teacher="required"))
    labels = {"rubric": "medical-safety", "provider": "127.0.0.1"}
    read = registry.get_sample_value
    assert read("galen_judge_items_total", labels | {"status": "ok"}) == 2
    assert read("galen_judge_items_total", labels | {"status": "failed"}) == 1
    assert read("galen_judge_failed_items_total", {"code": "provider_error"}) == 1
    assert read("galen_judge_cached_items_total", {}) == 1
    hit = {"rubric": "medical-safety", "rule": "rx_misuse"}
    assert read("galen_judge_rule_hits_total", hit) == 2
    assert (read("galen_judge_cost_usd_total", {}) or 0) > 0


def scripted(script: Script | None = None, room: int = 10_000) -> ScriptedTeacher:
    return ScriptedTeacher(script, room)


async def test_a_request_beyond_the_queues_room_is_refused_whole(
    make_service: ServiceMaker,
) -> None:
    """Before anything is asked, with a time to come back; what fits is judged."""
    teacher = scripted(room=3)
    service = make_service(teacher)
    with pytest.raises(Overloaded, match="4 answers need the teacher") as refused:
        await service.score(request(*[f"{SOUND}{i}" for i in range(4)]))
    assert refused.value.retry_after_s == 5.0
    assert teacher.asked == []
    batch = request(*[f"{SOUND}{i}" for i in range(3)])
    assert {result.status for result in (await service.score(batch)).items} == {"ok"}


async def test_what_the_ledger_holds_needs_no_room(make_service: ServiceMaker) -> None:
    """A full queue is no reason to refuse what costs nothing."""
    teacher = scripted(room=1)
    service = make_service(teacher)
    await service.score(request(SOUND))
    teacher.room = 0
    (result,) = (await service.score(request(SOUND))).items
    assert (result.status, result.cached) == ("ok", True)


async def test_what_is_being_asked_needs_no_room(make_service: ServiceMaker) -> None:
    """Who joins a call that is under way takes nobody's place."""
    go = asyncio.Event()

    async def wait(case: Case, client: Client) -> Verdict:
        await go.wait()
        return verdict()

    teacher = scripted(wait, room=1)
    service = make_service(teacher)
    first = asyncio.create_task(service.score(request(SOUND)))
    await teacher.has_asked(1)
    teacher.room = 0
    second = asyncio.create_task(service.score(request(SOUND)))
    await asyncio.wait([second], timeout=0)
    go.set()
    assert [(await task).items[0].status for task in (first, second)] == ["ok", "ok"]


class FillingTeacher(ScriptedTeacher):
    """Its queue has five places, and nobody leaves it."""

    @property
    def room(self) -> int:
        return 5 - len(self.asked)

    @room.setter
    def room(self, room: int) -> None:
        """Its room is its own affair."""


async def test_requests_at_the_same_moment_share_the_room(make_service: ServiceMaker) -> None:
    """Those that have not reached the queue yet are counted too."""
    teacher = FillingTeacher()
    service = make_service(teacher)
    batches = [request(*[f"{SOUND}{n}-{i}" for i in range(4)]) for n in range(5)]
    outcomes = await asyncio.gather(*map(service.score, batches), return_exceptions=True)
    assert [type(one) for one in outcomes].count(Overloaded) == 4
    assert len(teacher.asked) == 4


async def test_a_thousand_items_fit_into_one_request(make_service: ServiceMaker) -> None:
    """Each is asked once, and all of them are in the answer."""
    teacher = scripted()
    batch = request(*[f"{SOUND}{i}" for i in range(1000)])
    results = (await make_service(teacher).score(batch)).items
    assert [result.status for result in results] == ["ok"] * 1000
    assert len(teacher.asked) == 1000


async def test_a_cap_that_is_reached_fails_items_and_no_hits(
    fake: FakeTeacher, make_service: ServiceMaker
) -> None:
    """Nothing is asked beyond it, it says so, and what was judged is still told."""
    service = make_service(real_teacher(fake), caps=BudgetSettings(per_run_usd=0.0015))
    first = (await service.score(request(SOUND, teacher="required", run="r"))).items
    assert first[0].status == "ok"
    batch = request(SOUND, *[f"{SOUND}{i}" for i in range(20)], teacher="required", run="r")
    results = (await service.score(batch)).items
    refused = [result.error for result in results if result.error is not None]
    assert {(error.code, error.retryable) for error in refused} == {("budget_exceeded", False)}
    assert 0 < len(refused) < 20
    assert len(fake.requests) == 21 - len(refused)
    assert (results[0].status, results[0].cached) == ("ok", True)
    other = (await service.score(request(UNSAFE, teacher="required", run="other"))).items
    assert other[0].status == "ok"


async def test_what_was_reserved_is_settled_at_what_it_cost(
    fake: FakeTeacher, make_service: ServiceMaker
) -> None:
    """The budget and the bill agree when nothing is under way."""
    service = make_service(real_teacher(fake))
    usage = (await service.score(request(SOUND, UNSAFE, run="r"))).usage
    balances = (await service.balances("r")).balances
    assert [one.calls for one in balances] == [2, 2]
    assert [one.committed_usd for one in balances] == pytest.approx([usage.cost_usd] * 2)


async def test_a_rehearsal_costs_nothing(make_service: ServiceMaker) -> None:
    """The mock works under a cap of nothing at all."""
    service = make_service(MockTeacher(), caps=BudgetSettings(per_run_usd=0.0, per_day_usd=0.0))
    (result,) = (await service.score(request(SOUND, teacher="required", run="r"))).items
    assert (result.status, result.provider) == ("ok", "mock")
    assert [one.calls for one in (await service.balances("r")).balances] == [0, 0]


async def test_a_judge_that_stops_asks_nothing_new(make_service: ServiceMaker) -> None:
    """A new question is told when to come back; a hit is still told."""
    teacher = scripted()
    service = make_service(teacher)
    await service.score(request(SOUND))
    service.stop_asking()
    with pytest.raises(Unavailable) as refused:
        await service.score(request(UNSAFE))
    assert refused.value.retry_after_s == 5.0
    assert len(teacher.asked) == 1
    assert (await service.score(request(SOUND))).items[0].cached


async def test_a_judge_that_stops_lets_requests_end(
    make_service: ServiceMaker, database_url: str
) -> None:
    """What was asked before is judged, stored and told."""
    go = asyncio.Event()

    async def wait(case: Case, client: Client) -> Verdict:
        await go.wait()
        return verdict()

    teacher = scripted(wait)
    service = make_service(teacher)
    waiting = asyncio.create_task(service.score(request(SOUND)))
    await teacher.has_asked(1)
    stopping = asyncio.create_task(service.aclose(drain_s=60.0))
    await asyncio.wait([stopping], timeout=0)
    go.set()
    await stopping
    assert (await waiting).items[0].status == "ok"
    again = (await make_service(scripted()).score(request(SOUND))).items[0]
    assert again.cached
