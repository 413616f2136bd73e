"""A key's limits at the judge: on what has it work or keep something, and on nothing else."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from galen.errors import Overloaded
from galen.keys import KeyRing
from judge.client import JudgeClient
from judge.schemas import ScoreItem, ScoreRequest
from judge.teacher.verdict import Client, Verdict
from judge.text.case import Case
from tests.fakes.scripted_teacher import ScriptedTeacher, verdict
from tests.judge.conftest import AppMaker, client_of

SCORE = {
    "rubric": "medical-safety",
    "items": [{"id": "a", "prompt": "嗓子痛，怎么办？", "response": "多喝温水，不好转请就医。"}],
}
COMPARE = {
    "rubric": "medical-safety",
    "items": [{"id": "a", "prompt": "嗓子痛？", "response_a": "多喝水", "response_b": "多喝水"}],
}
DRIFT = {"rubric": "medical-safety", "run": "r", "step": 1}
VOTE = {
    "prompt": "问",
    "response_a": "甲",
    "response_b": "乙",
    "model_a": "m1",
    "model_b": "m2",
    "vote": "a",
}
JSON, BY_FASTAPI = "application/json", "application/json; charset=utf-8"
COUNTED: list[tuple[str, dict[str, Any], str, int]] = [
    ("/v1/score", SCORE, JSON, 200),
    ("/v1/score", SCORE, BY_FASTAPI, 200),
    ("/v1/compare", COMPARE, JSON, 200),
    ("/v1/drift", DRIFT, JSON, 200),
    ("/v1/feedback", VOTE, JSON, 201),
]


@pytest.fixture
def database_url(sqlite_url: str) -> str:
    """Limits are the same whatever the database."""
    return sqlite_url


def judge(
    make_app: AppMaker, *limits: str, teacher: ScriptedTeacher | None = None
) -> httpx.AsyncClient:
    """A client with the key `key-0`, of a judge whose keys have these limits, each an admin's."""
    lines = [f"key-{n}:admin:secret-of-{n}:{limit}" for n, limit in enumerate(limits)]
    client = client_of(make_app(teacher or ScriptedTeacher(), KeyRing.parse(lines)))
    client.headers["Authorization"] = "Bearer secret-of-0"
    return client


@pytest.mark.parametrize(("path", "body", "content_type", "status"), COUNTED)
async def test_who_asks_too_often_is_told_when_to_come_back(
    make_app: AppMaker, path: str, body: dict[str, Any], content_type: str, status: int
) -> None:
    """429 in the shape of every error, with the seconds, and what is left of the rate on every
    answer; another key is not concerned."""
    async with judge(make_app, "1", "") as http:
        headers = {"Content-Type": content_type}
        first = await http.post(path, json=body, headers=headers)
        assert (first.status_code, left_of(first)) == (status, ("1", "0", "60s"))
        second = await http.post(path, json=body, headers=headers)
        error = second.json()["error"]
        assert (second.status_code, error["code"]) == (429, "overloaded")
        assert set(error) == {"message", "type", "param", "code"}
        assert "may begin 1" in error["message"]
        assert 1 <= int(second.headers["Retry-After"]) <= 60
        assert left_of(second)[:2] == ("1", "0")
        other = {**headers, "Authorization": "Bearer secret-of-1"}
        answer = await http.post(path, json=body, headers=other)
        assert answer.status_code == status
        assert "x-ratelimit-limit-requests" not in answer.headers


async def test_looking_on_costs_nothing(make_app: AppMaker) -> None:
    """A rate of one a minute is still whole after all of them."""
    async with judge(make_app, "1") as http:
        for path in ("/v1/rubrics", "/v1/budget", "/v1/runs", "/v1/feedback"):
            assert (await http.get(path)).status_code == 200
        assert (await http.post("/v1/score", json=SCORE)).status_code == 200
        assert (await http.post("/v1/score", json=SCORE)).status_code == 429


@pytest.mark.parametrize(("path", "body", "content_type", "status"), COUNTED)
async def test_wrong_requests_count_before_their_body_is_read(
    make_app: AppMaker, path: str, body: dict[str, Any], content_type: str, status: int
) -> None:
    """Else a key could send malformed bodies without end; the one beyond the limit is not read."""
    async with judge(make_app, "2") as http:
        headers = {"Content-Type": content_type}
        wrong = await http.post(path, json={**body, "more": 1}, headers=headers)
        assert wrong.status_code == 422
        assert (await http.post(path, content=b"{", headers=headers)).status_code == 400

        async def unread() -> AsyncIterator[bytes]:
            raise AssertionError("the body was read")
            yield b""

        assert (await http.post(path, content=unread(), headers=headers)).status_code == 429


async def test_who_has_too_much_under_way_is_refused_until_it_ends(make_app: AppMaker) -> None:
    """Whatever it is that is under way, and asked either way; a refusal reaches no teacher."""
    go_on = asyncio.Event()

    async def held(case: Case, client: Client) -> Verdict:
        await go_on.wait()
        return verdict()

    teacher = ScriptedTeacher(held)
    async with judge(make_app, ":1", teacher=teacher) as http:
        first = asyncio.create_task(http.post("/v1/score", json=SCORE))
        await teacher.has_asked(1)
        for path, body, content_type, _ in COUNTED:
            answer = await http.post(path, json=body, headers={"Content-Type": content_type})
            assert (answer.status_code, answer.headers["Retry-After"]) == (429, "1")
        go_on.set()
        assert (await first).status_code == 200
        assert len(teacher.asked) == 1
        for path, body, content_type, status in COUNTED:
            answer = await http.post(path, json=body, headers={"Content-Type": content_type})
            assert answer.status_code == status


async def test_what_fails_is_not_under_way_any_more(make_app: AppMaker) -> None:
    """An unknown rubric is found out only inside."""
    async with judge(make_app, ":1") as http:
        for path, body in (("/v1/score", SCORE), ("/v1/drift", DRIFT)):
            for _ in range(3):
                assert (await http.post(path, json={**body, "rubric": "none"})).status_code == 404


async def test_the_client_raises_a_refusal_and_never_takes_it_for_a_score(
    make_app: AppMaker,
) -> None:
    """`Overloaded`, which may be tried again, with the seconds after which to."""
    request = ScoreRequest(
        rubric="medical-safety", items=(ScoreItem(id="a", prompt="问", response="请就医。"),)
    )
    keys = KeyRing.parse(["ppo:rollout:secret-of-ppo:1"])
    transport = httpx.ASGITransport(make_app(ScriptedTeacher(), keys))
    async with JudgeClient("http://localhost", key="secret-of-ppo", transport=transport) as client:
        assert (await client.score(request)).items[0].reward is not None
        with pytest.raises(Overloaded, match="may begin 1") as refused:
            await client.score(request)
    assert refused.value.retryable
    assert refused.value.retry_after_s is not None
    assert 1 <= refused.value.retry_after_s <= 60


def left_of(answer: httpx.Response) -> tuple[str, str, str]:
    limit, remaining, reset = (
        answer.headers[f"x-ratelimit-{part}-requests"] for part in ("limit", "remaining", "reset")
    )
    return limit, remaining, reset


@pytest.mark.parametrize("role", ["user", "rollout", "admin"])
async def test_metrics_ask_for_any_key(make_app: AppMaker, role: str) -> None:
    """They tell what a team does; without keys they are for this machine, as the rest is."""
    keys = KeyRing.parse([f"prometheus:{role}:secret-of-prometheus"])
    async with client_of(make_app(ScriptedTeacher(), keys)) as http:
        assert (await http.get("/metrics")).status_code == 401
        shown = {"Authorization": "Bearer secret-of-prometheus"}
        assert (await http.get("/metrics", headers=shown)).status_code == 200
        for path in ("/healthz", "/readyz"):
            assert (await http.head(path)).status_code == 200
