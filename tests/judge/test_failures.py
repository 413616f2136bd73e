"""What happens when the teacher fails: one test for each row of docs/judge-operation.md's table.

Everything goes the whole way: the service, a real database, a teacher over real HTTP.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from sqlalchemy import select

from judge.ledger import database
from judge.ledger.tables import RejectedReplyRow
from judge.schemas import ScoreItem, ScoreRequest, ScoreResult
from judge.scoring.service import JudgeService
from judge.settings import BudgetSettings, TeacherSettings
from judge.teacher.calls.limits import Backoff
from judge.teacher.openai_teacher import OpenAITeacher
from judge.teacher.prices import Prices
from tests.fakes.teacher import (
    Body,
    Drip,
    Drop,
    FakeTeacher,
    Good,
    Hang,
    Reply,
    Says,
    Slow,
    Status,
    Wait,
    good,
)
from tests.judge.conftest import ServiceMaker

PROMPT = "嗓子痛两天，怎么办？"
SOUND = (
    "<think>\n嗓子痛两天，可能是咽炎，需要留意高烧。\n</think>\n\n"
    "嗓子痛可能与咽炎有关。建议多喝温水。如果高烧不退，请尽快就医。以上仅供参考。"
)


@pytest.fixture
def database_url(sqlite_url: str) -> str:
    """How a teacher fails has nothing to do with the kind of database."""
    return sqlite_url


@pytest.fixture
async def fake() -> AsyncIterator[FakeTeacher]:
    async with FakeTeacher() as fake:
        yield fake


class Judge:
    """A service and its teacher."""

    def __init__(self, service: JudgeService, teacher: OpenAITeacher) -> None:
        self.service = service
        self.teacher = teacher

    async def score(self, *numbers: int, run: str | None = None) -> list[ScoreResult]:
        """Judge one answer for each number; the same number is the same answer."""
        items = tuple(
            ScoreItem(id=f"i{n}", prompt=PROMPT, response=f"{SOUND}第{n}稿。") for n in numbers
        )
        request = ScoreRequest(rubric="medical", items=items, teacher="required", run=run)
        return list((await self.service.score(request)).items)

    async def fails(self, number: int = 0) -> ScoreResult:
        """The result of an answer that cannot be judged."""
        (result,) = await self.score(number)
        assert (result.status, result.reward, result.teacher) == ("failed", None, None)
        assert result.error is not None
        return result


JudgeMaker = Callable[..., Judge]


@pytest.fixture
def start(fake: FakeTeacher, make_service: ServiceMaker) -> JudgeMaker:
    def start(caps: BudgetSettings | None = None, **changes: Any) -> Judge:
        settings = TeacherSettings(base_url=fake.url, model="deepseek-flash", **changes)
        teacher = OpenAITeacher(settings, "secret-key", Prices.load(), Backoff(base_s=0.0))
        return Judge(make_service(teacher, **({"caps": caps} if caps else {})), teacher)

    return start


def told(result: ScoreResult) -> tuple[str, bool]:
    """An item's error, and whether the client is to try again."""
    assert result.error is not None
    return result.error.code, result.error.retryable


@pytest.mark.parametrize("status", [429, 503])
async def test_a_storm_that_passes(status: int, fake: FakeTeacher, start: JudgeMaker) -> None:
    """Fewer calls at once, backed off; when it is over every item has its verdict."""
    judge = start(concurrency=8)
    fake.enqueue(*[Status(status, retry_after=0)] * 8)
    results = await judge.score(*range(8))
    assert [result.status for result in results] == ["ok"] * 8
    assert judge.teacher.state.limit < 8


@pytest.mark.parametrize("status", [429, 503])
async def test_a_storm_that_lasts(status: int, fake: FakeTeacher, start: JudgeMaker) -> None:
    """Calls at once go down to one, the circuit opens, items fail as `provider_unavailable`; the
    rest of the batch, and the next, is not even sent."""
    judge = start(concurrency=8)
    fake.enqueue(*[Status(status)] * 500)
    results = await judge.score(*range(100))
    assert {told(result) for result in results} == {("provider_unavailable", True)}
    assert judge.teacher.state.limit == 1
    assert judge.teacher.state.circuit == "open"
    sent = len(fake.requests)
    assert 20 <= sent < 20 + 8, "the run of failures that opens it, and what was under way then"
    assert told(await judge.fails(200)) == ("provider_unavailable", True)
    assert len(fake.requests) == sent


async def test_an_open_circuit_still_serves_the_ledger(
    fake: FakeTeacher, start: JudgeMaker
) -> None:
    """What was judged before the storm is told in the middle of it."""
    judge = start(breaker_failures=1)
    await judge.score(1)
    fake.enqueue(Status(503))
    first, second = await judge.score(1, 2)
    assert (first.status, first.cached) == ("ok", True)
    assert told(second) == ("provider_unavailable", True)
    readiness = await judge.service.readiness()
    assert readiness.ready, "it passes by itself, and hits are told meanwhile"
    assert readiness.detail is not None and "it is asked again in" in readiness.detail


async def test_a_retry_after_is_heeded(fake: FakeTeacher, start: JudgeMaker) -> None:
    """One that asks for more than the deadline leaves is told to the client at once."""
    fake.enqueue(Status(429, retry_after=3600))
    assert told(await start().fails()) == ("provider_unavailable", True)
    assert len(fake.requests) == 1


@pytest.mark.parametrize("hiccup", [Status(500), Status(502), Status(408), Drop()], ids=str)
async def test_a_hiccup(hiccup: Reply, fake: FakeTeacher, start: JudgeMaker) -> None:
    """A 500 or a dropped connection costs a try."""
    fake.enqueue(hiccup)
    (result,) = await start().score(1)
    assert (result.status, len(fake.requests)) == ("ok", 2)


async def test_no_system_resource(fake: FakeTeacher, start: JudgeMaker) -> None:
    """DeepSeek says in the finish reason what others say by 503; it is heeded alike."""
    judge = start(concurrency=8)
    fake.enqueue(Says("", finish_reason="insufficient_system_resource"))
    (result,) = await judge.score(1)
    assert (result.status, judge.teacher.state.limit) == ("ok", 4)


async def test_an_answer_that_takes_its_time(fake: FakeTeacher, start: JudgeMaker) -> None:
    """Slow is no failure, as long as it is within the deadline."""
    fake.enqueue(Slow(0.05))
    (result,) = await start().score(1)
    assert result.status == "ok"


@pytest.mark.parametrize("silence", [Hang(), Drip(), Slow(60)], ids=lambda s: type(s).__name__)
async def test_a_time_out(silence: Reply, fake: FakeTeacher, start: JudgeMaker) -> None:
    """Keep-alive lines or none: the deadline is for the whole, and the call counts as billed."""
    fake.enqueue(silence)
    judge = start(deadline_s=0.3)
    result = await judge.fails()
    assert told(result) == ("timeout", True)
    assert result.cost > 0
    (day,) = (await judge.service.balances(None)).balances
    assert day.committed_usd == pytest.approx(result.cost)


MALFORMED = {
    "blank": Says(""),
    "white space": Says(" \n"),
    "no content": Says(None),
    "bad JSON": Says('{"safety": {"why": "好"'),
    "words around JSON": Says("好的：{}"),
    "a score without an explanation": Says('{"safety": 0.9}'),
    "evidence that is not there": Good(evidence="没有说过的话"),
    "length": Says('{"safety": {"why": "好', finish_reason="length"),
    "no completion": Body(b"<html></html>", "text/html"),
}


@pytest.mark.parametrize("reply", MALFORMED.values(), ids=MALFORMED.keys())
async def test_a_malformed_reply(
    reply: Reply, fake: FakeTeacher, start: JudgeMaker, database_url: str
) -> None:
    """Asked twice more, then `judge_malformed`: nothing is mended, the replies are kept, and
    what they cost is counted."""
    fake.enqueue(reply, reply, reply)
    result = await start().fails()
    assert told(result) == ("judge_malformed", False)
    assert len(fake.requests) == 3
    kept = rejected_replies(database_url)
    assert len(kept) == 3
    assert result.cost == pytest.approx(sum(row.cost_usd for row in kept))
    if isinstance(reply, Says):
        assert {row.reply for row in kept} == {reply.content or ""}


async def test_a_malformed_reply_and_then_a_good_one(
    fake: FakeTeacher, start: JudgeMaker, database_url: str
) -> None:
    """The verdict stands; what came before it is kept and paid."""
    fake.enqueue(Says("嗯"), good())
    (result,) = await start().score(1)
    (row,) = rejected_replies(database_url)
    assert (result.status, row.reply) == ("ok", "嗯")
    assert result.cost == pytest.approx(2 * row.cost_usd)


def rejected_replies(url: str) -> list[Any]:
    engine, table = database.connect(url), RejectedReplyRow.__table__
    with engine.connect() as connection:
        rows: list[Any] = list(connection.execute(select(table)).all())
    engine.dispose()
    return rows


async def test_a_content_filter(fake: FakeTeacher, start: JudgeMaker) -> None:
    """It would say the same again: one call, `judge_refused`."""
    fake.enqueue(Says("", finish_reason="content_filter"))
    assert told(await start().fails()) == ("judge_refused", False)
    assert len(fake.requests) == 1


@pytest.mark.parametrize(
    ("reply", "code"),
    [
        (Status(402), "out_of_credit"),
        (Status(401), "teacher_refused"),
        (Status(403, message="Invalid API key"), "teacher_refused"),
        (Status(404), "teacher_refused"),
        (Status(400, message="The model `x` does not exist"), "teacher_refused"),
    ],
    ids=str,
)
async def test_what_only_the_operator_can_mend(
    reply: Status, code: str, fake: FakeTeacher, start: JudgeMaker
) -> None:
    """No credit, a bad key, an unknown model: not one call more, not ready, and why; the ledger
    still answers. Another start may find it mended."""
    judge = start()
    await judge.score(1)
    fake.enqueue(reply)
    assert told(await judge.fails(2)) == (code, False)
    assert told(await judge.fails(3)) == (code, False)
    assert len(fake.requests) == 2
    (hit,) = await judge.score(1)
    assert (hit.status, hit.cached) == ("ok", True)
    readiness = await judge.service.readiness()
    assert (readiness.ready, readiness.detail) == (False, judge.teacher.latched)
    assert (await start().score(2))[0].status == "ok"


@pytest.mark.parametrize("status", [400, 422])
async def test_another_error(status: int, fake: FakeTeacher, start: JudgeMaker) -> None:
    """That item alone fails, as `provider_error`."""
    judge = start(concurrency=1)
    fake.enqueue(Status(status))
    first, second = await judge.score(1, 2)
    assert (told(first), second.status) == (("provider_error", False), "ok")


async def test_part_of_a_batch_fails(fake: FakeTeacher, start: JudgeMaker) -> None:
    """What was judged is stored at once; a repeat pays for the rest alone."""
    judge = start(concurrency=1)
    fake.enqueue(good(), Status(422), good())
    assert [one.status for one in await judge.score(1, 2, 3)] == ["ok", "failed", "ok"]
    again = await start().score(1, 2, 3)
    assert [(one.status, one.cached) for one in again] == [
        ("ok", True),
        ("ok", False),
        ("ok", True),
    ]
    assert len(fake.requests) == 4


async def test_the_budget_is_reached(fake: FakeTeacher, start: JudgeMaker) -> None:
    """Nothing more is sent, not after a restart either; what is known is still told."""
    caps = BudgetSettings(per_run_usd=0.0025)
    judge = start(caps, concurrency=1)
    results = await judge.score(*range(30), run="r")
    judged = [result for result in results if result.status == "ok"]
    assert 0 < len(judged) < 30
    assert {told(result) for result in results if result not in judged} == {
        ("budget_exceeded", False)
    }
    sent = len(fake.requests)
    assert sent == len(judged)
    restarted = await start(caps).score(0, 100, run="r")
    assert [result.status for result in restarted] == ["ok", "failed"]
    assert len(fake.requests) == sent


async def test_two_trainers_take_turns(fake: FakeTeacher, start: JudgeMaker) -> None:
    """The second one's single answer does not wait for the first one's twenty."""
    go = asyncio.Event()
    fake.enqueue(Wait(go))
    judge = start(concurrency=1)
    first = asyncio.create_task(judge.score(*range(20), run="first"))
    await fake.has_asked(1)
    second = asyncio.create_task(judge.score(100, run="second"))
    while judge.teacher.state.waiting < 20:  # nineteen of the first's, and the second's
        await asyncio.wait([second], timeout=0.001)
    go.set()
    await asyncio.gather(first, second)
    asked = [request["messages"][1]["content"] for request in fake.requests]
    assert ["第100稿" in text for text in asked].index(True) == 2


async def test_two_trainers_ask_the_same(fake: FakeTeacher, start: JudgeMaker) -> None:
    """One call, which one of them pays for."""
    judge = start()
    results = await asyncio.gather(*(judge.score(1, run=f"r{n}") for n in range(20)))
    assert len(fake.requests) == 1
    assert sum(result.cost > 0 for (result,) in results) == 1


async def test_a_client_that_leaves_cancels_nobody_else(
    fake: FakeTeacher, start: JudgeMaker
) -> None:
    """Not even the one who began the call takes it away from who waits for it."""
    go = asyncio.Event()
    fake.enqueue(Wait(go))
    judge = start()
    leaver = asyncio.create_task(judge.score(1))
    await fake.has_asked(1)
    stayer = asyncio.create_task(judge.score(1))
    await asyncio.wait([stayer], timeout=0)
    leaver.cancel()
    go.set()
    assert (await stayer)[0].status == "ok"
    assert len(fake.requests) == 1
