"""A sound request is answered directly, and nobody can tell."""

from __future__ import annotations

import json

import httpx
import pytest

from galen.keys import KeyRing
from judge.teacher.mock_teacher import MockTeacher
from tests.judge.conftest import AppMaker

DIRECT, BY_FASTAPI = "application/json", "application/json; charset=utf-8"
SOUND = {
    "rubric": "medical-safety",
    "items": [{"id": "a", "prompt": "嗓子痛，怎么办？", "response": "多喝温水，不好转请就医。"}],
}
BODIES = {
    "sound": SOUND,
    "unknown rubric": {**SOUND, "rubric": "none"},
    "a field too many": {**SOUND, "more": 1},
    "no items": {**SOUND, "items": []},
    "the same id twice": {**SOUND, "items": SOUND["items"] * 2},
    "a number as text": {**SOUND, "step": "3"},
    "a list": [SOUND],
}


def client(make_app: AppMaker, keys: str = "") -> httpx.AsyncClient:
    app = make_app(MockTeacher(), KeyRing.parse(keys.split()))
    transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
    return httpx.AsyncClient(transport=transport, base_url="http://localhost")


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES.keys())
async def test_the_direct_way_answers_as_fastapi_does(make_app: AppMaker, body: object) -> None:
    """The same body earns the same status and the same words on both ways."""
    async with client(make_app) as judge:
        answers = [
            await judge.post(
                "/v1/score", content=json.dumps(body), headers={"Content-Type": content_type}
            )
            for content_type in (BY_FASTAPI, DIRECT, DIRECT)
        ]
    first, *rest = [
        (answer.status_code, {k: v for k, v in answer.json().items() if k != "usage"})
        for answer in answers
    ]
    if first[0] == 200:  # told again, it is a hit
        first[1]["items"][0]["cached"] = True
    assert rest == [first, first]


@pytest.mark.parametrize(
    ("keys", "status"), [("a:user:secret-of-a", 401), ("", 200)], ids=["keys", "none"]
)
async def test_a_key_is_asked_for_on_the_direct_way(
    make_app: AppMaker, keys: str, status: int
) -> None:
    """No way round the keys."""
    async with client(make_app, keys) as judge:
        assert (await judge.post("/v1/score", json=SOUND)).status_code == status
