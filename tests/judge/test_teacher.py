"""The teacher against a real HTTP server that answers as it is told."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from galen.errors import InvalidInput
from judge.case import Case
from judge.limits import Backoff
from judge.mock_teacher import MockTeacher
from judge.prices import ModelPrice, Prices
from judge.rubric import RubricShelf
from judge.settings import TeacherSettings
from judge.teacher import OpenAITeacher, teacher_for
from judge.verdict import FREE, Client, TeacherError
from tests.fakes.teacher import (
    GOOD_SCORES,
    Body,
    Drip,
    Drop,
    FakeTeacher,
    Hang,
    Reply,
    Says,
    Status,
    Wait,
    good,
)

CLIENT = Client("test", FREE)
CASE = Case("嗓子痛", "<think>\n可能是咽炎\n</think>\n\n多喝水，{{question}}")
NOW = Backoff(base_s=0.0)
PRICES = Prices(
    as_of="2026-11-01",  # type: ignore[arg-type]  # pydantic reads the date
    models={"judge-1": ModelPrice(cache_hit=1.0, cache_miss=10.0, output=100.0)},
)
TeacherMaker = Callable[..., OpenAITeacher]


@pytest.fixture
async def fake() -> AsyncIterator[FakeTeacher]:
    async with FakeTeacher() as fake:
        yield fake


@pytest.fixture
async def make(fake: FakeTeacher) -> AsyncIterator[TeacherMaker]:
    made: list[OpenAITeacher] = []

    def make(backoff: Backoff = NOW, **changes: Any) -> OpenAITeacher:
        settings = TeacherSettings(base_url=fake.url, model="judge-1", **changes)
        made.append(OpenAITeacher(settings, "secret-key", PRICES, backoff))
        return made[-1]

    yield make
    for teacher in made:
        await teacher.aclose()


async def failure(teacher: OpenAITeacher, shelf: RubricShelf) -> TeacherError:
    with pytest.raises(TeacherError) as raised:
        await teacher.judge(shelf.get("medical"), CASE, CLIENT)
    return raised.value


async def test_a_verdict_with_all_that_is_known_of_it(
    fake: FakeTeacher, make: TeacherMaker, shelf: RubricShelf
) -> None:
    """Scores, reason, both models, fingerprint, tokens and cost come back."""
    verdict = await make().judge(shelf.get("medical"), CASE, CLIENT)
    assert verdict.scores == GOOD_SCORES
    assert verdict.why == "说明了风险。"
    assert (verdict.provider, verdict.model_asked) == ("127.0.0.1", "judge-1")
    assert (verdict.model_answered, verdict.fingerprint) == ("fake-teacher-2026", "fp_1")
    assert (verdict.spent.prompt_tokens, verdict.spent.cache_hit_tokens) == (1000, 800)
    assert verdict.spent.cost_usd == pytest.approx((800 * 1 + 200 * 10 + 50 * 100) / 1e6)


async def test_what_is_sent(fake: FakeTeacher, make: TeacherMaker, shelf: RubricShelf) -> None:
    """JSON mode, no chance, no stream; the answer between boundaries, as it is."""
    teacher = make()
    await teacher.judge(shelf.get("medical"), CASE, CLIENT)
    await teacher.judge(shelf.get("medical"), CASE, CLIENT)
    sent, again = fake.requests
    assert sent["response_format"] == {"type": "json_object"}
    assert (sent["model"], sent["temperature"], sent["max_tokens"]) == ("judge-1", 0.0, 600)
    assert "thinking" not in sent
    assert "stream" not in sent
    assert fake.headers[0]["Authorization"] == "Bearer secret-key"
    system, user = sent["messages"]
    assert "json" in system["content"]
    assert "多喝水，{{question}}" in user["content"]
    assert system == again["messages"][0]
    assert user != again["messages"][1], "each request draws its own boundary"


async def test_thinking_is_switched_off_for_deepseek(
    fake: FakeTeacher, make: TeacherMaker, shelf: RubricShelf
) -> None:
    """DeepSeek thinks by default and then ignores the temperature; others know no such switch."""
    await make(thinking_off=True).judge(shelf.get("medical"), CASE, CLIENT)
    assert fake.requests[0]["thinking"] == {"type": "disabled"}
    deepseek = OpenAITeacher(TeacherSettings(), "a-key", PRICES)
    assert deepseek.identity()["sampling"]["extra_body"] == {"thinking": {"type": "disabled"}}
    await deepseek.aclose()


@pytest.mark.parametrize(
    "trouble", [Status(429, retry_after=0), Status(500), Status(503), Drop()], ids=str
)
async def test_passing_trouble_is_tried_again(
    trouble: Reply, fake: FakeTeacher, make: TeacherMaker, shelf: RubricShelf
) -> None:
    """A storm, a hiccup or a lost connection costs a try, not the verdict."""
    fake.enqueue(trouble, trouble, good(safety=0.4))
    verdict = await make().judge(shelf.get("medical"), CASE, CLIENT)
    assert verdict.scores["safety"] == 0.4
    assert (verdict.asks, len(fake.requests)) == (3, 3)


async def test_a_retry_after_beyond_the_deadline_fails_at_once(
    fake: FakeTeacher, make: TeacherMaker, shelf: RubricShelf
) -> None:
    """Nobody waits for an hour inside a minute."""
    fake.enqueue(Status(429, retry_after=3600))
    error = await failure(make(), shelf)
    assert (error.code, error.retryable) == ("provider_unavailable", True)
    assert len(fake.requests) == 1


@pytest.mark.parametrize(
    "nonsense",
    [
        Says(""),
        Says(None),
        Says("  \n"),
        Says("safety is fine"),
        Says('{"why": "x", "safety": 2}'),
        Says(good().content, finish_reason="length"),
        Body(b"<html>hello</html>", "text/html"),
        Body(b'{"choices": []}'),
        Body(b"[]"),
    ],
    ids=str,
)
async def test_nonsense_is_asked_again_twice_and_is_never_a_score(
    nonsense: Reply, fake: FakeTeacher, make: TeacherMaker, shelf: RubricShelf
) -> None:
    """Blank, cut off or malformed: two more asks, then a failure."""
    fake.enqueue(nonsense, nonsense, nonsense)
    error = await failure(make(), shelf)
    assert (error.code, error.retryable) == ("judge_malformed", False)
    assert len(fake.requests) == 3
    fake.enqueue(nonsense, nonsense, good(logic=0.3))
    verdict = await make().judge(shelf.get("medical"), CASE, CLIENT)
    assert verdict.scores["logic"] == 0.3


async def test_failed_asks_are_paid_for(
    fake: FakeTeacher, make: TeacherMaker, shelf: RubricShelf
) -> None:
    """What nonsense cost is added to the verdict, or to the failure."""
    fake.enqueue(Says(""), good())
    verdict = await make().judge(shelf.get("medical"), CASE, CLIENT)
    assert verdict.spent.prompt_tokens == 2000
    fake.enqueue(Says(""), Says(""), Says(""))
    assert (await failure(make(), shelf)).spent.completion_tokens == 150


async def test_a_filtered_reply_is_given_up(
    fake: FakeTeacher, make: TeacherMaker, shelf: RubricShelf
) -> None:
    """A content filter says the same every time."""
    fake.enqueue(Says("", finish_reason="content_filter"))
    assert (await failure(make(), shelf)).code == "judge_refused"
    assert len(fake.requests) == 1


async def test_an_overloaded_endpoint_is_tried_again(
    fake: FakeTeacher, make: TeacherMaker, shelf: RubricShelf
) -> None:
    """DeepSeek says so in the finish reason rather than in the status."""
    fake.enqueue(Says("", finish_reason="insufficient_system_resource"), good())
    assert (await make().judge(shelf.get("medical"), CASE, CLIENT)).asks == 2


@pytest.mark.parametrize("silence", [Hang(), Drip()], ids=lambda reply: type(reply).__name__)
async def test_silence_ends_at_the_deadline(
    silence: Reply, fake: FakeTeacher, make: TeacherMaker, shelf: RubricShelf
) -> None:
    """A hang, or blank lines that keep the connection alive, are a time-out all the same."""
    fake.enqueue(silence)
    error = await failure(make(deadline_s=0.3), shelf)
    assert (error.code, error.retryable) == ("timeout", True)


@pytest.mark.parametrize(
    ("reply", "code", "word"),
    [
        (Status(402), "out_of_credit", "credit"),
        (Status(401), "teacher_refused", "DEEPSEEK_API_KEY"),
        (Status(403), "teacher_refused", "DEEPSEEK_API_KEY"),
        (Status(404), "teacher_refused", "JUDGE_MODEL"),
        (Status(400, message="Model Not Exist"), "teacher_refused", "JUDGE_MODEL"),
    ],
    ids=str,
)
async def test_what_only_the_operator_can_mend_latches(
    reply: Reply, code: str, word: str, fake: FakeTeacher, make: TeacherMaker, shelf: RubricShelf
) -> None:
    """One such answer stops all further calls, and says what to do."""
    fake.enqueue(reply)
    teacher = make()
    first, second = await failure(teacher, shelf), await failure(teacher, shelf)
    assert (first.code, second.code) == (code, code)
    assert word in first.message
    assert teacher.latched == first.message
    assert len(fake.requests) == 1


@pytest.mark.parametrize(
    ("status", "message", "retryable"),
    [
        (400, "This model's maximum context length is 4096 tokens", False),
        (422, "bad", False),
        (502, "gateway", True),
    ],
)
async def test_other_errors_fail_the_item_alone(
    status: int,
    message: str,
    retryable: bool,
    fake: FakeTeacher,
    make: TeacherMaker,
    shelf: RubricShelf,
) -> None:
    """A request that the endpoint dislikes says nothing of the next one."""
    fake.enqueue(Status(status, message=message))
    teacher = make()
    error = await failure(teacher, shelf)
    assert (error.code, error.retryable) == ("provider_error", retryable)
    assert teacher.latched is None
    assert (await teacher.judge(shelf.get("medical"), CASE, CLIENT)).scores == GOOD_SCORES


async def test_no_error_holds_the_key_or_the_patients_words(
    fake: FakeTeacher, make: TeacherMaker, shelf: RubricShelf
) -> None:
    """Errors travel to logs and clients."""
    for reply in (Status(401, message="bad key secret-key"), Status(422, message="嗓子痛")):
        fake.enqueue(reply)
        message = (await failure(make(), shelf)).message
        assert "secret-key" not in message
        assert "嗓子痛" not in message


async def test_no_more_calls_at_once_than_allowed(
    fake: FakeTeacher, make: TeacherMaker, shelf: RubricShelf
) -> None:
    """An account's limit is kept by us, not found out by 429."""
    go = asyncio.Event()
    fake.enqueue(*[Wait(go)] * 6)
    teacher = make(concurrency=2)
    rubric = shelf.get("medical")
    tasks = [asyncio.create_task(teacher.judge(rubric, CASE, CLIENT)) for _ in range(6)]
    await fake.has_asked(2)
    assert len(fake.requests) == 2
    go.set()
    await asyncio.gather(*tasks)
    assert len(fake.requests) == 6


async def test_the_environment_chooses_the_teacher() -> None:
    """A key makes a real teacher, with endpoint and model of the environment; none the mock."""
    settings = TeacherSettings()
    assert isinstance(teacher_for(settings, {}), MockTeacher)
    assert isinstance(teacher_for(settings, {"DEEPSEEK_API_KEY": "  "}), MockTeacher)
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


def test_an_endpoint_without_a_host_is_refused() -> None:
    """A path or a bare name is no endpoint."""
    with pytest.raises(InvalidInput, match="base_url") as raised:
        OpenAITeacher(TeacherSettings(base_url="deepseek"), "k", PRICES)
    assert raised.value.param == "teacher.base_url"
