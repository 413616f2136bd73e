"""The teacher against a real HTTP server that answers as it is told."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from galen.errors import InvalidInput
from judge.rubrics.rubric import Rubric, RubricRegistry
from judge.settings import TeacherSettings
from judge.teacher.calls.limits import Backoff
from judge.teacher.mock_teacher import MockTeacher
from judge.teacher.openai_teacher import OpenAITeacher, teacher_for
from judge.teacher.prices import ModelPrice, Peak, Prices
from judge.teacher.verdict import (
    Account,
    Client,
    RejectedReply,
    TeacherError,
    TeacherState,
    Verdict,
)
from judge.text.case import Case
from tests.fakes.account import FREE, FakeAccount
from tests.fakes.teacher import (
    GOOD_SCORES,
    Body,
    Drop,
    FakeTeacher,
    Good,
    Hang,
    Reply,
    Says,
    Status,
    Wait,
    good,
)

ANSWER = "多喝水，{{question}}，高烧不退请就医。"
CASE = Case("嗓子痛", f"<think>\n可能是咽炎\n</think>\n\n{ANSWER}")
NOW = Backoff(base_s=0.0)
MODEL = "judge-1"
PEAK = Peak(factor=3.0, days=(0, 1, 2, 3, 4), hours=((1, 4),))
OFF_PEAK_FRIDAY = datetime(2026, 11, 20, 12, tzinfo=UTC)
PEAK_FRIDAY = datetime(2026, 11, 20, 2, tzinfo=UTC)
PRICES = Prices(
    as_of="2026-11-01",  # type: ignore[arg-type]  # pydantic reads the date
    models={MODEL: ModelPrice(cache_hit=1.0, cache_miss=10.0, output=100.0, peak=PEAK)},
)
COST = (800 * 1 + 200 * 10 + 50 * 100) / 1e6
"""Of one of the fake's usual answers, off-peak."""
TeacherMaker = Callable[..., OpenAITeacher]


@pytest.fixture
def rubric(rubrics: RubricRegistry) -> Rubric:
    return rubrics.get("medical")


@pytest.fixture
async def fake() -> AsyncIterator[FakeTeacher]:
    async with FakeTeacher() as fake:
        yield fake


@pytest.fixture
async def make(fake: FakeTeacher) -> AsyncIterator[TeacherMaker]:
    made: list[OpenAITeacher] = []

    def make(
        backoff: Backoff = NOW, at: datetime = OFF_PEAK_FRIDAY, **changes: Any
    ) -> OpenAITeacher:
        settings = TeacherSettings(base_url=fake.url, model=MODEL, **changes)
        made.append(OpenAITeacher(settings, "secret-key", PRICES, backoff, now=lambda: at))
        return made[-1]

    yield make
    for teacher in made:
        await teacher.aclose()


async def ask(
    teacher: OpenAITeacher, rubric: Rubric, client: str = "test", account: Account = FREE
) -> Verdict:
    return await teacher.judge(rubric, CASE, Client(client, account))


async def failure(teacher: OpenAITeacher, rubric: Rubric, account: Account = FREE) -> TeacherError:
    with pytest.raises(TeacherError) as raised:
        await ask(teacher, rubric, account=account)
    return raised.value


async def test_a_verdict_with_all_that_is_known_of_it(make: TeacherMaker, rubric: Rubric) -> None:
    """Scores, evidence, reasons, both models, fingerprint, tokens and cost come back."""
    verdict = await ask(make(), rubric)
    assert verdict.scores == GOOD_SCORES
    assert verdict.evidence == dict.fromkeys(GOOD_SCORES, ANSWER[:12])
    assert verdict.why.splitlines()[0] == "safety: 说明了风险。"
    assert (verdict.provider, verdict.model_asked) == ("127.0.0.1", MODEL)
    assert (verdict.model_answered, verdict.fingerprint) == ("fake-teacher-2026", "fp_1")
    assert (verdict.spent.prompt_tokens, verdict.spent.cache_hit_tokens) == (1000, 800)
    assert verdict.spent.cost_usd == pytest.approx(COST)
    assert (verdict.asks, verdict.rejected) == (1, ())


async def test_what_is_sent(fake: FakeTeacher, make: TeacherMaker, rubric: Rubric) -> None:
    """JSON mode, no chance, no stream; the answer between boundaries, as it is."""
    teacher = make()
    await ask(teacher, rubric)
    await ask(teacher, rubric)
    sent, again = fake.requests
    assert sent["response_format"] == {"type": "json_object"}
    assert (sent["model"], sent["temperature"], sent["max_tokens"]) == (MODEL, 0.0, 800)
    assert "thinking" not in sent
    assert "stream" not in sent
    assert fake.headers[0]["Authorization"] == "Bearer secret-key"
    system, user = sent["messages"]
    assert "json" in system["content"]
    assert ANSWER in user["content"]
    assert system == again["messages"][0]
    assert user != again["messages"][1], "each request draws its own boundary"


async def test_one_judgement_is_one_call(
    fake: FakeTeacher, make: TeacherMaker, rubric: Rubric
) -> None:
    """All dimensions are asked for at once."""
    await ask(make(), rubric)
    assert len(fake.requests) == 1


@pytest.mark.parametrize(
    "trouble",
    [
        Status(429, retry_after=0),
        Status(500),
        Status(503),
        Drop(),
        Says("", finish_reason="insufficient_system_resource"),
    ],
    ids=str,
)
async def test_passing_trouble_is_tried_again(
    trouble: Reply, fake: FakeTeacher, make: TeacherMaker, rubric: Rubric
) -> None:
    """A storm, a hiccup or a lost connection costs a try, not the verdict."""
    fake.enqueue(trouble, trouble, good(safety=0.4))
    verdict = await ask(make(), rubric)
    assert verdict.scores["safety"] == 0.4
    assert (verdict.asks, len(fake.requests)) == (3, 3)


async def test_a_retry_after_beyond_the_deadline_fails_at_once(
    fake: FakeTeacher, make: TeacherMaker, rubric: Rubric
) -> None:
    """Nobody waits for an hour inside a minute."""
    fake.enqueue(Status(429, retry_after=3600))
    error = await failure(make(), rubric)
    assert (error.code, error.retryable) == ("provider_unavailable", True)
    assert len(fake.requests) == 1


NONSENSE = [
    Says(""),
    Says(None),
    Says("safety is fine"),
    Says('{"safety": {"why": "x", "evidence": "多喝水", "score": 2}}'),
    Says('{"safety": {"why": "x", "evidence"', finish_reason="length"),
    Good(evidence="没有这样说过"),
    Good(evidence="可能是咽炎"),
    Body(b"<html>hello</html>", "text/html"),
    Body(b'{"choices": []}'),
    Body(b'{"choices": [], "usage": {"prompt_tokens": -5}}'),
    Body(b"[]"),
    Body(b"\xff\x00"),
]


@pytest.mark.parametrize("nonsense", NONSENSE, ids=str)
async def test_nonsense_is_asked_again_twice_and_is_never_a_score(
    nonsense: Reply, fake: FakeTeacher, make: TeacherMaker, rubric: Rubric
) -> None:
    """Blank, cut off, malformed, or with evidence that is none: two more asks, then a failure."""
    fake.enqueue(nonsense, nonsense, nonsense)
    error = await failure(make(), rubric)
    assert (error.code, error.retryable) == ("judge_malformed", False)
    assert len(error.rejected) == len(fake.requests) == 3
    fake.enqueue(nonsense, nonsense, good(logic=0.3))
    verdict = await ask(make(), rubric)
    assert verdict.scores["logic"] == 0.3
    assert len(verdict.rejected) == 2


async def test_a_teacher_is_told_what_was_wrong(
    fake: FakeTeacher, make: TeacherMaker, rubric: Rubric
) -> None:
    """Asked the same at temperature 0, it would say the same; three calls would be paid for one."""
    fake.enqueue(Says("好的"), good())
    await ask(make(), rubric)
    first, second = (request["messages"] for request in fake.requests)
    assert [message["role"] for message in second] == ["system", "user", "assistant", "user"]
    assert second[2]["content"] == "好的"
    assert "not JSON" in second[3]["content"]
    assert len(first) == 2


async def test_rejected_replies_are_kept_as_they_came(
    fake: FakeTeacher, make: TeacherMaker, rubric: Rubric
) -> None:
    """What was paid for can be looked at: reason, text, cost. Only what no database holds goes."""
    fake.enqueue(Says("坏\x00"), Body(b"<html>"), good())
    verdict = await ask(make(), rubric)
    priced, unread = verdict.rejected
    assert priced == RejectedReply("not JSON, or a field given twice", "坏\ufffd", priced.cost_usd)
    assert priced.cost_usd == pytest.approx(COST)
    assert (unread.reason, unread.reply) == ("not a chat completion", "<html>")
    assert unread.cost_usd > COST, "what came of it is unknown: the most that it can have cost"


async def test_a_filtered_reply_is_given_up(
    fake: FakeTeacher, make: TeacherMaker, rubric: Rubric
) -> None:
    """A content filter says the same every time."""
    fake.enqueue(Says("", finish_reason="content_filter"))
    assert (await failure(make(), rubric)).code == "judge_refused"
    assert len(fake.requests) == 1


async def test_no_error_holds_the_key_or_the_patients_words(
    fake: FakeTeacher, make: TeacherMaker, rubric: Rubric, caplog: pytest.LogCaptureFixture
) -> None:
    """Errors travel to logs and clients."""
    for reply in (
        Status(401, message="bad key secret-key"),
        Status(422, message="嗓子痛"),
        *[Says("嗓子痛")] * 3,
    ):
        fake.enqueue(reply)
    teachers = [make() for _ in range(3)]
    messages = [(await failure(teacher, rubric)).message for teacher in teachers]
    for word in ("secret-key", "嗓子痛"):
        assert word not in "".join(messages) + caplog.text


async def test_no_more_calls_at_once_than_allowed(
    fake: FakeTeacher, make: TeacherMaker, rubric: Rubric
) -> None:
    """An account's limit is kept by us, not found out by 429."""
    go = asyncio.Event()
    fake.enqueue(*[Wait(go)] * 6)
    teacher = make(concurrency=2)
    tasks = [asyncio.create_task(ask(teacher, rubric)) for _ in range(6)]
    await fake.has_asked(2)
    assert teacher.state == TeacherState(limit=2, in_flight=2, waiting=4)
    go.set()
    await asyncio.gather(*tasks)
    assert (len(fake.requests), fake.most_in_flight) == (6, 2)
    assert teacher.state == TeacherState(limit=2)


async def test_clients_take_turns(fake: FakeTeacher, make: TeacherMaker, rubric: Rubric) -> None:
    """One client's judgement does not wait for another's five."""
    go = asyncio.Event()
    fake.enqueue(Wait(go))
    teacher, done = make(concurrency=1), list[str]()

    async def judge(client: str) -> None:
        await ask(teacher, rubric, client)
        done.append(client)

    tasks = [asyncio.create_task(judge(client)) for client in ("a", "a", "a", "a", "a", "b")]
    await fake.has_asked(1)
    go.set()
    await asyncio.gather(*tasks)
    assert done.index("b") == 2


async def test_beyond_the_queue_a_judgement_is_turned_away(
    fake: FakeTeacher, make: TeacherMaker, rubric: Rubric
) -> None:
    """One under way, one waiting: there is no room for a third."""
    go = asyncio.Event()
    fake.enqueue(Wait(go))
    teacher = make(concurrency=1, queue=1)
    tasks = [asyncio.create_task(ask(teacher, rubric)) for _ in range(2)]
    await fake.has_asked(1)
    assert teacher.room == 0
    error = await failure(teacher, rubric)
    assert (error.code, error.retryable) == ("overloaded", True)
    go.set()
    await asyncio.gather(*tasks)
    assert teacher.room == 2


async def test_who_leaves_gives_its_place_back(
    fake: FakeTeacher, make: TeacherMaker, rubric: Rubric
) -> None:
    """A cancelled judgement, under way or waiting, holds nobody up."""
    fake.enqueue(Hang())
    teacher = make(concurrency=1)
    hanging, waiting = (asyncio.create_task(ask(teacher, rubric)) for _ in range(2))
    await fake.has_asked(1)
    hanging.cancel()
    waiting.cancel()
    await asyncio.gather(hanging, waiting, return_exceptions=True)
    assert (await ask(teacher, rubric)).scores == GOOD_SCORES
    assert teacher.state == TeacherState(limit=1)


async def test_refusals_halve_the_calls_at_once_and_successes_bring_them_back(
    fake: FakeTeacher, make: TeacherMaker, rubric: Rubric
) -> None:
    """Eight refused together make four; four successes make five."""
    go = asyncio.Event()
    teacher = make(concurrency=8)
    fake.enqueue(*[Status(429)] * 8, *[Wait(go)] * 8)
    tasks = [asyncio.create_task(ask(teacher, rubric)) for _ in range(8)]
    await fake.has_asked(12)
    assert teacher.state == TeacherState(limit=4, in_flight=4, waiting=4)
    go.set()
    await asyncio.gather(*tasks)
    assert teacher.state.limit == 5


async def test_who_finds_no_place_again_in_time_was_not_slow(
    fake: FakeTeacher, make: TeacherMaker, rubric: Rubric
) -> None:
    """Two are refused, so one may call, and hangs: the other sent nothing that could be billed."""
    fake.enqueue(Status(429), Status(429), Hang())
    teacher = make(concurrency=2, deadline_s=2.0)
    failed = await asyncio.gather(failure(teacher, rubric), failure(teacher, rubric))
    assert {error.code: error.spent.cost_usd > 0 for error in failed} == {
        "timeout": True,
        "provider_unavailable": False,
    }
    assert teacher.state == TeacherState(limit=1)


async def test_a_run_of_failures_opens_the_circuit(
    fake: FakeTeacher, make: TeacherMaker, rubric: Rubric
) -> None:
    """Then nothing is sent, and every judgement fails at once and says for how long."""
    fake.enqueue(*[Status(503)] * 3)
    teacher = make(breaker_failures=3)
    first, second = await failure(teacher, rubric), await failure(teacher, rubric)
    for error in (first, second):
        assert (error.code, error.retryable) == ("provider_unavailable", True)
        assert "3 calls in a row failed; the next is made in" in error.message
    assert len(fake.requests) == 3
    assert teacher.state.circuit == "open"
    assert 0 < teacher.state.retry_after_s <= 15


async def test_after_the_rest_one_call_tries_and_closes_the_circuit(
    fake: FakeTeacher, make: TeacherMaker, rubric: Rubric
) -> None:
    """While it is out the others fail; its success lets them in again."""
    go = asyncio.Event()
    fake.enqueue(Status(503), Wait(go))
    teacher = make(breaker_failures=1, breaker_rest_s=1e-9)
    await asyncio.gather(ask(teacher, rubric), _try_beside(teacher, rubric, fake, go))
    assert teacher.state.circuit == "closed"


async def _try_beside(
    teacher: OpenAITeacher, rubric: Rubric, fake: FakeTeacher, go: asyncio.Event
) -> None:
    await fake.has_asked(2)
    assert teacher.state.circuit == "half_open"
    assert "one call is probing" in (await failure(teacher, rubric)).message
    go.set()


@pytest.mark.parametrize(("at", "factor"), [(OFF_PEAK_FRIDAY, 1), (PEAK_FRIDAY, 3)])
async def test_money_is_reserved_before_a_call_and_settled_after(
    at: datetime, factor: int, make: TeacherMaker, rubric: Rubric
) -> None:
    """The most that it can cost, then what the usage says, both at the hour's price."""
    account = FakeAccount()
    verdict = await ask(make(at=at), rubric, account=account)
    (kept,) = account.reservations
    assert kept.settled_usd == verdict.spent.cost_usd == pytest.approx(factor * COST)
    assert kept.reserved_usd > factor * COST


@pytest.mark.parametrize("nothing", [Status(429), Status(503), Status(500)], ids=str)
async def test_a_refused_call_costs_nothing(
    nothing: Status, fake: FakeTeacher, make: TeacherMaker, rubric: Rubric
) -> None:
    """Every call has a reservation of its own; the refused one's comes back whole."""
    account = FakeAccount()
    fake.enqueue(nothing)
    verdict = await ask(make(), rubric, account=account)
    refused, answered = account.reservations
    assert (refused.settled_usd, answered.settled_usd) == (0.0, verdict.spent.cost_usd)


@pytest.mark.parametrize("last", [Status(401), Status(402), Status(422), Status(403)], ids=str)
async def test_a_call_refused_for_good_costs_nothing(
    last: Status, fake: FakeTeacher, make: TeacherMaker, rubric: Rubric
) -> None:
    """An error status bills nothing."""
    account = FakeAccount()
    fake.enqueue(last)
    assert (await failure(make(), rubric, account)).spent.cost_usd == 0.0
    assert account.committed_usd == 0.0


async def test_no_connection_costs_nothing(make: TeacherMaker, rubric: Rubric) -> None:
    """An outage does not eat a budget."""
    account = FakeAccount()
    settings = TeacherSettings(
        base_url="http://127.0.0.1:9/v1", model=MODEL, breaker_failures=4, deadline_s=60
    )
    teacher = OpenAITeacher(settings, "k", PRICES, NOW)
    error = await failure(teacher, rubric, account)
    assert (error.code, error.spent.cost_usd) == ("provider_unavailable", 0.0)
    assert [kept.settled_usd for kept in account.reservations] == [0.0] * 4
    await teacher.aclose()


async def test_a_lost_connection_may_be_billed(
    fake: FakeTeacher, make: TeacherMaker, rubric: Rubric
) -> None:
    """Nobody knows what became of the call: its reservation stands, and counts as spent."""
    account = FakeAccount()
    fake.enqueue(Drop())
    verdict = await ask(make(), rubric, account=account)
    lost, answered = account.reservations
    assert (lost.settled_usd, answered.settled_usd) == (None, pytest.approx(COST))
    assert verdict.spent.cost_usd == pytest.approx(account.committed_usd)


async def test_a_cancelled_call_may_be_billed(
    fake: FakeTeacher, make: TeacherMaker, rubric: Rubric
) -> None:
    """Whoever stops the judge in the middle of a call leaves its reservation standing."""
    account = FakeAccount()
    fake.enqueue(Hang())
    task = asyncio.create_task(ask(make(), rubric, account=account))
    await fake.has_asked(1)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert [kept.settled_usd for kept in account.reservations] == [None]


async def test_an_answer_without_usage_may_have_cost_anything(
    fake: FakeTeacher, make: TeacherMaker, rubric: Rubric
) -> None:
    """An endpoint that does not say what it used is counted with the most."""
    account = FakeAccount()
    fake.enqueue(Body(b'{"choices": []}'))
    await ask(make(), rubric, account=account)
    assert account.reservations[0].settled_usd is None


async def test_an_empty_account_stops_the_judgement(
    fake: FakeTeacher, make: TeacherMaker, rubric: Rubric
) -> None:
    """Nothing is sent, and nobody is told to try again."""
    error = await failure(make(), rubric, FakeAccount(cap_usd=0.0))
    assert (error.code, error.retryable, len(fake.requests)) == ("budget_exceeded", False, 0)


async def test_an_account_that_runs_out_on_the_way_keeps_what_was_spent(
    fake: FakeTeacher, make: TeacherMaker, rubric: Rubric
) -> None:
    """The nonsense that emptied it is kept and counted."""
    teacher, account = make(), FakeAccount()
    await ask(teacher, rubric, account=account)
    most = account.reservations[0].reserved_usd
    fake.enqueue(Says("nonsense"))
    error = await failure(teacher, rubric, FakeAccount(cap_usd=most + COST / 2))
    assert error.code == "budget_exceeded"
    assert error.spent.cost_usd == pytest.approx(COST)
    assert [one.reply for one in error.rejected] == ["nonsense"]


async def test_the_environment_chooses_the_teacher() -> None:
    """A key makes a real teacher, with endpoint and model of the environment; none the mock."""
    settings = TeacherSettings()
    assert isinstance(teacher_for(settings, {}), MockTeacher)
    assert isinstance(teacher_for(settings, {"DEEPSEEK_API_KEY": "  "}), MockTeacher)
    keyless = teacher_for(settings, {"JUDGE_BASE_URL": "http://127.0.0.1:9"})
    assert keyless.provider == "127.0.0.1"
    await keyless.aclose()
    environment = {
        "DEEPSEEK_API_KEY": "k",
        "JUDGE_BASE_URL": "http://127.0.0.1:9/v1",
        "JUDGE_MODEL": "mine",
    }
    teacher = teacher_for(settings, environment)
    identity = teacher.identity()
    assert (identity["base_url"], identity["model"]) == ("http://127.0.0.1:9/v1", "mine")
    assert teacher.provider == "127.0.0.1"
    await teacher.aclose()


async def test_a_model_without_a_price_is_refused_where_a_cap_is_set() -> None:
    """A cap that nothing counts against would be none; the field to set is named."""
    settings = TeacherSettings(base_url="http://127.0.0.1:9", model="mine")
    with pytest.raises(InvalidInput, match=r"judge\.teacher\.price"):
        teacher_for(settings, {}, is_capped=True)
    free = ModelPrice(cache_hit=0, cache_miss=0, output=0)
    for allowed, is_capped in (
        (settings.model_copy(update={"price": free}), True),
        (settings, False),
    ):
        await teacher_for(allowed, {}, is_capped=is_capped).aclose()
