"""One call, and what its failure means."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from galen.errors import InvalidInput
from judge.settings import TeacherSettings
from judge.teacher.calls.endpoint import Endpoint, TryLaterError
from judge.teacher.reply import MalformedError
from judge.teacher.verdict import TeacherError
from tests.fakes.teacher import Body, Drop, FakeTeacher, Says, Status

MESSAGES = [{"role": "system", "content": "json"}, {"role": "user", "content": "你好"}]


@pytest.fixture
async def fake() -> AsyncIterator[FakeTeacher]:
    async with FakeTeacher() as fake:
        yield fake


@pytest.fixture
async def endpoint(fake: FakeTeacher) -> AsyncIterator[Endpoint]:
    endpoint = Endpoint(TeacherSettings(base_url=fake.url, model="judge-1"), "secret-key")
    yield endpoint
    await endpoint.aclose()


@pytest.mark.parametrize("slash", ["", "/"])
async def test_a_completion_comes_back(slash: str, fake: FakeTeacher) -> None:
    """Text and finish reason, whether the base URL ends in a slash or not."""
    endpoint = Endpoint(TeacherSettings(base_url=fake.url + slash, model="judge-1"), "k")
    fake.enqueue(Says("嗯"))
    completion = await endpoint.complete(MESSAGES)
    assert (completion.text, completion.finish_reason) == ("嗯", "stop")
    assert fake.requests[0]["messages"] == MESSAGES
    await endpoint.aclose()


@pytest.mark.parametrize("end", ["", "/v1", "/v1/", "/v1/chat/completions"])
async def test_an_address_works_with_or_without_its_end(end: str, fake: FakeTeacher) -> None:
    """`/v1`, nothing, or the whole route; what was found out is kept."""
    address = fake.url.removesuffix("/v1") + end
    endpoint = Endpoint(TeacherSettings(base_url=address, model="judge-1"), "k")
    if not end:
        with pytest.raises(TryLaterError):
            await endpoint.complete(MESSAGES)
    fake.enqueue(Says("嗯"))
    assert (await endpoint.complete(MESSAGES)).text == "嗯"
    await endpoint.aclose()


async def test_an_endpoint_may_need_no_key(fake: FakeTeacher) -> None:
    """Then none is sent."""
    endpoint = Endpoint(TeacherSettings(base_url=fake.url), "")
    await endpoint.complete(MESSAGES)
    assert "Authorization" not in fake.headers[0]
    await endpoint.aclose()


@pytest.mark.parametrize("usage", ["null", '{"prompt_tokens": null, "completion_tokens": 3}'])
async def test_a_usage_that_is_not_told_is_no_failure(
    usage: str, fake: FakeTeacher, endpoint: Endpoint
) -> None:
    """The call then counts at what was reserved for it."""
    body = '{"choices": [{"finish_reason": "stop", "message": {"content": "嗯"}}], "usage": %s}'
    fake.enqueue(Body((body % usage).encode()))
    completion = await endpoint.complete(MESSAGES)
    assert (completion.text, completion.usage) == ("嗯", None)


@pytest.mark.parametrize(
    ("reply", "overloaded", "billed"),
    [
        (Status(429), True, False),
        (Status(503), True, False),
        (Status(529), True, False),
        (Status(500), False, False),
        (Status(502), False, False),
        (Status(504), False, False),
        (Status(408), False, False),
        (Drop(), False, True),
    ],
    ids=str,
)
async def test_what_another_try_may_mend(
    reply: Status | Drop, overloaded: bool, billed: bool, fake: FakeTeacher, endpoint: Endpoint
) -> None:
    """Whether it is for too many calls, and whether the work may have been done, is told apart."""
    fake.enqueue(reply)
    with pytest.raises(TryLaterError) as raised:
        await endpoint.complete(MESSAGES)
    assert (raised.value.overloaded, raised.value.billed) == (overloaded, billed)


@pytest.mark.parametrize(
    ("header", "seconds"), [(None, None), (7, 7.0), (-1, 0.0), ("Sat, 21 Nov 2026", None)]
)
async def test_retry_after_is_read(
    header: float | None, seconds: float | None, fake: FakeTeacher, endpoint: Endpoint
) -> None:
    """Seconds count; a date, or none, leaves the wait to the back-off."""
    fake.enqueue(Status(429, retry_after=header))
    with pytest.raises(TryLaterError) as raised:
        await endpoint.complete(MESSAGES)
    assert raised.value.after_s == seconds


@pytest.mark.parametrize(
    ("reply", "code", "word"),
    [
        (Status(402), "out_of_credit", "credit"),
        (Status(401), "teacher_refused", "DEEPSEEK_API_KEY"),
        (Status(403, message="Invalid API key"), "teacher_refused", "DEEPSEEK_API_KEY"),
        (Status(404, message="model 'x' not found"), "teacher_refused", "JUDGE_MODEL"),
        (Status(400, message="Model Not Exist"), "teacher_refused", "JUDGE_MODEL"),
    ],
    ids=str,
)
async def test_what_only_the_operator_can_mend_latches(
    reply: Status, code: str, word: str, fake: FakeTeacher, endpoint: Endpoint
) -> None:
    """The latch says what to do."""
    fake.enqueue(reply)
    with pytest.raises(TeacherError) as raised:
        await endpoint.complete(MESSAGES)
    assert endpoint.latched is not None
    assert (raised.value.code, raised.value.message) == (code, endpoint.latched.message)
    assert word in endpoint.latched.message
    assert not raised.value.retryable


@pytest.mark.parametrize(
    ("status", "message", "retryable"),
    [
        (400, "This model's maximum context length is 4096 tokens", False),
        (400, "the model produced invalid content", False),
        (422, "bad", False),
    ],
)
async def test_other_errors_fail_the_item_alone(
    status: int, message: str, retryable: bool, fake: FakeTeacher, endpoint: Endpoint
) -> None:
    """A request that the endpoint dislikes says nothing of the next one."""
    fake.enqueue(Status(status, message=message))
    with pytest.raises(TeacherError) as raised:
        await endpoint.complete(MESSAGES)
    assert (raised.value.code, raised.value.retryable) == ("provider_error", retryable)
    assert endpoint.latched is None


async def test_a_refused_text_fails_alone(fake: FakeTeacher, endpoint: Endpoint) -> None:
    """A moderator's 403 concerns one input; the next one is judged."""
    fake.enqueue(Status(403, message="Your input was flagged"), Says("嗯"))
    with pytest.raises(TeacherError) as raised:
        await endpoint.complete(MESSAGES)
    assert (raised.value.code, endpoint.latched) == ("judge_refused", None)
    assert (await endpoint.complete(MESSAGES)).text == "嗯"


async def test_a_wrong_address_is_told_from_a_wrong_model(
    fake: FakeTeacher, endpoint: Endpoint
) -> None:
    """Nothing there under either address: the message names the address."""
    fake.enqueue(Status(404))
    with pytest.raises(TryLaterError):
        await endpoint.complete(MESSAGES)
    with pytest.raises(TeacherError, match="JUDGE_BASE_URL"):
        await endpoint.complete(MESSAGES)


async def test_what_an_endpoint_names_is_passed_on(fake: FakeTeacher, endpoint: Endpoint) -> None:
    """The field and the code at fault, and no word of its message."""
    error = '{"error": {"message": "机密", "param": "temperature", "code": "unsupported_value"}}'
    fake.enqueue(Body(error.encode(), status=400))
    with pytest.raises(TeacherError, match=r"400 \(param temperature, code unsupported_value\)"):
        await endpoint.complete(MESSAGES)


async def test_a_key_follows_no_redirect(fake: FakeTeacher, endpoint: Endpoint) -> None:
    """Where an endpoint points to is not where the operator sent the key."""
    fake.enqueue(Status(307, location=f"{fake.url}/chat/completions"))
    with pytest.raises(TeacherError, match="answered 307"):
        await endpoint.complete(MESSAGES)
    assert len(fake.requests) == 1


async def test_a_negative_usage_is_refused(fake: FakeTeacher, endpoint: Endpoint) -> None:
    """It would pay money back."""
    fake.enqueue(Says("嗯", prompt_tokens=-5))
    with pytest.raises(MalformedError, match="not a chat completion"):
        await endpoint.complete(MESSAGES)


@pytest.mark.parametrize("field", ["prompt_tokens", "completion_tokens", "cache_hit_tokens"])
async def test_more_tokens_than_any_call_has_are_refused(
    field: str, fake: FakeTeacher, endpoint: Endpoint
) -> None:
    """One reply must not use up the day's budget, nor be more than a column holds."""
    fake.enqueue(Says("嗯", **{field: 10_000_000}))  # type: ignore[arg-type]  # a count
    assert (await endpoint.complete(MESSAGES)).text == "嗯"
    for count in (10_000_001, 10**30):
        fake.enqueue(Says("嗯", **{field: count}))  # type: ignore[arg-type]
        with pytest.raises(MalformedError, match="not a chat completion"):
            await endpoint.complete(MESSAGES)


async def test_names_that_no_database_holds_are_refused(
    fake: FakeTeacher, endpoint: Endpoint
) -> None:
    """A model's name goes into a column of 200 characters."""
    for name in ("m" * 201, "m\\u0000", "\\ud800"):
        fake.enqueue(Body(f'{{"choices": [], "model": "{name}"}}'.encode()))
        with pytest.raises(MalformedError, match="not a chat completion"):
            await endpoint.complete(MESSAGES)


@pytest.mark.parametrize(
    "base_url",
    [
        "",
        "deepseek",
        "/v1",
        "ftp://teacher.example/v1",
        "teacher.example:443/v1",
        "http://:8000/v1",
        "http://teacher.example:99999/v1",
        "http://teacher.example:0/v1",
        "http://teacher.example:eighty/v1",
        "http://[::1/v1",
        "http://teacher.example/v 1",
        "http://teacher.example/v1\n",
        "http://teacher.example/v1?version=2",
        "http://teacher.example/v1#here",
        "http://user:PASSWORD@teacher.example/v1",
        "http://PASSWORD@teacher.example/v1",
    ],
)
def test_a_base_url_that_no_call_can_use_is_refused(base_url: str) -> None:
    """At the start, before a call sets money aside, and without repeating a password."""
    with pytest.raises(InvalidInput, match="base_url") as raised:
        Endpoint(TeacherSettings(base_url=base_url), "k")
    assert raised.value.param == "teacher.base_url"
    assert "PASSWORD" not in raised.value.message


@pytest.mark.parametrize("key", ["SECRET\nX: y", "SECRET\r", "SEC RET", "SECRET\t", "SECRET密"])
def test_a_key_that_no_header_can_hold_is_refused(key: str) -> None:
    """At the start, by the name of its variable, and never repeated."""
    with pytest.raises(InvalidInput, match="DEEPSEEK_API_KEY") as raised:
        Endpoint(TeacherSettings(), key)
    assert "SEC" not in raised.value.message


async def test_a_host_that_no_request_can_name_costs_nothing() -> None:
    """What the HTTP client refuses to send was not sent: it is not tried again, nor billed."""
    endpoint = Endpoint(TeacherSettings(base_url="http://a..b/v1"), "k")
    with pytest.raises(TeacherError, match="base_url") as raised:
        await endpoint.complete(MESSAGES)
    assert (raised.value.code, raised.value.retryable) == ("provider_error", False)
    await endpoint.aclose()


async def test_a_proxy_of_the_environment_is_used(
    fake: FakeTeacher, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the way out leads through a proxy, calls take it; loopback is exempt by `no_proxy`."""
    monkeypatch.setenv("http_proxy", fake.url.removesuffix("/v1"))
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    far = Endpoint(TeacherSettings(base_url="http://teacher.example/v1"), "k")
    await far.complete(MESSAGES)
    near = Endpoint(TeacherSettings(base_url=fake.url), "k")
    await near.complete(MESSAGES)
    assert len(fake.requests) == 2
    await asyncio.gather(far.aclose(), near.aclose())
