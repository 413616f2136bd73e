"""The judge over HTTP: routes, keys, and every kind of bad input."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from prometheus_client import CollectorRegistry

from galen.errors import Conflict, InvalidInput
from galen.keys import KeyRing
from judge.app import create_app, serve
from judge.audit.archive import Archive
from judge.client import JudgeClient
from judge.schemas import ScoreItem, ScoreRequest
from judge.settings import JudgeSettings
from judge.teacher.mock_teacher import MockTeacher
from tests.judge.conftest import ExaminersMaker, ServiceMaker

ITEM = {"id": "a", "prompt": "嗓子痛两天", "response": "<think>\n想\n</think>\n\n多喝水。"}
BODY = {"rubric": "medical-safety", "items": [ITEM]}
SHIPPED = ["criteria", "finance", "finance-quality", "medical", "medical-safety"]


@pytest.fixture
def database_url(sqlite_url: str) -> str:
    """What is said over HTTP is the same whatever the database; other files look at both."""
    return sqlite_url


def error_of(response: httpx.Response) -> dict[str, Any]:
    error = response.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    return dict(error)


async def test_score(http: httpx.AsyncClient) -> None:
    """A mock's judgement, labelled as one, in the contract's shape."""
    response = await http.post("/v1/score", json=BODY)
    assert response.status_code == 200
    (item,) = response.json()["items"]
    assert (item["id"], item["status"], item["provider"]) == ("a", "ok", "mock")
    assert set(item["teacher"]) == {
        "safety",
        "logic",
        "completeness",
        "empathy",
        "overall",
        "why",
        "evidence",
    }


async def test_an_empty_answer_is_judged(http: httpx.AsyncClient) -> None:
    """Saying nothing is an answer, and a bad one."""
    body = BODY | {"items": [ITEM | {"response": ""}]}
    (item,) = (await http.post("/v1/score", json=body)).json()["items"]
    assert (item["status"], item["provider"]) == ("ok", "rules")
    assert item["reward"] < 0


async def test_rubrics(http: httpx.AsyncClient) -> None:
    """What there is to judge by, with hashes."""
    cards = (await http.get("/v1/rubrics")).json()["rubrics"]
    assert [card["name"] for card in cards] == SHIPPED
    assert all(len(card["sha256"]) == 64 for card in cards)


async def test_health_readiness_and_metrics(http: httpx.AsyncClient) -> None:
    """Up, ready as a mock, and counting."""
    await http.post("/v1/score", json=BODY)
    assert (await http.get("/healthz")).json() == {"status": "ok"}
    ready = await http.get("/readyz")
    assert (ready.status_code, ready.json()["provider"]) == (200, "mock")
    metrics = (await http.get("/metrics")).text
    assert 'galen_judge_items_total{provider="mock",rubric="medical-safety",status="ok"} 1.0' in (
        metrics
    )
    assert "galen_judge_http_requests_total" in metrics


async def test_a_judge_that_cannot_judge_is_not_ready(
    make_service: ServiceMaker, archive: Archive, make_examiners: ExaminersMaker
) -> None:
    """A latched teacher takes the judge out of rotation."""
    teacher = MockTeacher()
    teacher.latched = "no credit left"
    service, registry = make_service(teacher), CollectorRegistry()
    examiners = make_examiners(teacher)
    app = create_app(service, KeyRing({}), archive=archive, examiners=examiners, registry=registry)
    transport = httpx.ASGITransport(app=app)
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
        response = await client.get("/readyz")
    assert response.status_code == 503
    assert response.json() == {"ready": False, "provider": "mock", "detail": "no credit left"}


@pytest.mark.parametrize("headers", [{"Host": "evil.example"}, {"Origin": "https://evil.example"}])
async def test_without_keys_no_page_elsewhere_is_answered(
    headers: dict[str, str], http: httpx.AsyncClient
) -> None:
    """A browser here carries a request of any page; it may not spend the budget."""
    response = await http.post("/v1/score", json={}, headers=headers)
    assert (response.status_code, error_of(response)["code"]) == (403, "forbidden")


async def test_the_document_says_what_it_is_for(http: httpx.AsyncClient) -> None:
    """Research only, never a diagnosis."""
    info = (await http.get("/openapi.json")).json()["info"]
    assert "never a diagnosis" in info["description"]


@pytest.mark.parametrize("body", [b"", b"{", b"{'a': 1}", b'{"rubric": "medical",}', b"\xff\xfe"])
async def test_malformed_json_is_400(body: bytes, http: httpx.AsyncClient) -> None:
    """What is not JSON is told apart from JSON that is wrong."""
    response = await http.post(
        "/v1/score", content=body, headers={"content-type": "application/json"}
    )
    assert (response.status_code, error_of(response)["code"]) in {
        (400, "malformed_json"),
        (422, "invalid_request"),
    }
    if body:
        assert response.status_code == 400


async def test_an_unknown_rubric_is_404_and_names_the_known(http: httpx.AsyncClient) -> None:
    """The message helps whoever misspelt it."""
    response = await http.post("/v1/score", json=BODY | {"rubric": "medcial"})
    error = error_of(response)
    assert (response.status_code, error["code"], error["param"]) == (404, "not_found", "rubric")
    assert "medical, medical-safety" in error["message"]


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"rubrik": "x"}, "rubrik"),
        ({"teacher": "maybe"}, "teacher"),
        ({"items": []}, "items"),
        ({"items": [ITEM | {"id": str(i)} for i in range(1025)]}, "items"),
        ({"items": [ITEM, ITEM]}, "items"),
        ({"items": [ITEM | {"answer": "x"}]}, "items.0.answer"),
        ({"items": [{"id": "a", "prompt": "x"}]}, "items.0.response"),
        ({"items": [ITEM | {"prompt": ""}]}, "items.0.prompt"),
        ({"items": [ITEM | {"prompt": "\u3000"}]}, "items.0.prompt"),
        ({"items": [ITEM | {"response": None}]}, "items.0.response"),
        ({"items": [ITEM | {"response": 7}]}, "items.0.response"),
        ({"items": [ITEM | {"response": "a\x00b"}]}, "items.0.response"),
        ({"items": [ITEM | {"response": "a\ud800b"}]}, "items.0.response"),
        ({"items": [ITEM | {"prompt": "\udfff"}]}, "items.0.prompt"),
        ({"items": [ITEM | {"id": "x" * 201}]}, "items.0.id"),
        ({"run": "\x00"}, "run"),
        ({"step": -1}, "step"),
        ({"step": 2**70}, "step"),
    ],
)
async def test_a_wrong_field_is_422_and_named(
    change: dict[str, Any], param: str, http: httpx.AsyncClient
) -> None:
    """The answer names the field and never echoes what was in it."""
    content = json.dumps(BODY | change).encode("ascii")
    response = await http.post(
        "/v1/score", content=content, headers={"content-type": "application/json"}
    )
    error = error_of(response)
    assert (response.status_code, error["param"]) == (422, param)
    assert "嗓子痛" not in error["message"]


async def test_a_body_of_20_mb_is_413(http: httpx.AsyncClient) -> None:
    """Refused by its length, before it is read."""
    response = await http.post("/v1/score", content=b" " * (20 * 1024 * 1024))
    assert (response.status_code, error_of(response)["code"]) == (413, "payload_too_large")


async def test_a_chunked_body_of_20_mb_is_413(http: httpx.AsyncClient) -> None:
    """A body that hides its length is stopped when it has grown too large."""

    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(20):
            yield b" " * (1024 * 1024)

    response = await http.post("/v1/score", content=chunks())
    assert response.status_code == 413


async def test_a_reference_that_is_too_long_fails_its_item_alone(http: httpx.AsyncClient) -> None:
    """Too long a text is data about one item, not a fault of the request."""
    body = BODY | {"items": [ITEM | {"reference": "x" * 32_001}]}
    response = await http.post("/v1/score", json=body)
    (item,) = response.json()["items"]
    assert (response.status_code, item["status"], item["reward"]) == (200, "failed", None)
    assert item["error"]["code"] == "too_long"


@pytest.fixture
async def guarded(
    make_service: ServiceMaker, archive: Archive, make_examiners: ExaminersMaker
) -> AsyncIterator[httpx.AsyncClient]:
    keys = KeyRing.parse(["tom:user:secret-of-tom", "run:rollout:secret-of-run"])
    service, registry = make_service(MockTeacher()), CollectorRegistry()
    examiners = make_examiners(MockTeacher())
    app = create_app(service, keys, archive=archive, examiners=examiners, registry=registry)
    transport = httpx.ASGITransport(app=app)
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
        yield client


@pytest.mark.parametrize("key", [None, "Bearer wrong", "secret-of-tom"])
async def test_without_a_key_nothing_is_judged(key: str | None, guarded: httpx.AsyncClient) -> None:
    """Scoring costs money; health does not."""
    headers = {"Authorization": key} if key else {}
    response = await guarded.post("/v1/score", json=BODY, headers=headers)
    assert (response.status_code, error_of(response)["code"]) == (401, "unauthorized")
    assert (await guarded.get("/healthz")).status_code == 200


@pytest.mark.parametrize("secret", ["secret-of-tom", "secret-of-run"])
async def test_people_and_rollouts_may_score(secret: str, guarded: httpx.AsyncClient) -> None:
    """Both roles judge; neither needs to be admin."""
    headers = {"Authorization": f"Bearer {secret}"}
    assert (await guarded.post("/v1/score", json=BODY, headers=headers)).status_code == 200


def settings_in(folder: Path, **fields: Any) -> JudgeSettings:
    return JudgeSettings(database_url=f"sqlite:///{folder / 'judge.sqlite3'}", **fields)


def test_an_open_judge_listens_on_loopback_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without keys nobody from outside may spend one's money."""
    monkeypatch.delenv("GALEN_KEYS", raising=False)
    with pytest.raises(InvalidInput, match="without keys"):
        serve(settings_in(tmp_path, host="0.0.0.0"))
    assert list(tmp_path.iterdir()) == [], "nothing is made before the refusal"


def test_a_taken_port_is_a_clear_error(tmp_path: Path) -> None:
    """The message names the port and what to do, and no database is made."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(Conflict, match=f"port {port} on 127.0.0.1 .*choose another"):
            serve(settings_in(tmp_path, port=port))
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def served(tmp_path: Path, root: Path) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    """A judge in a process of its own, and its URL."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    settings = settings_in(tmp_path, port=port).model_dump_json()
    program = (
        "import sys; from judge.app import serve; from judge.settings import JudgeSettings; "
        "serve(JudgeSettings.model_validate_json(sys.argv[1]))"
    )
    hidden = ("DEEPSEEK_API_KEY", "GALEN_KEYS")
    process = subprocess.Popen(
        [sys.executable, "-c", program, settings],
        cwd=root,
        env={name: value for name, value in os.environ.items() if name not in hidden},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stderr is not None
    for line in process.stderr:
        if b"Application startup complete" in line:
            break
    yield process, f"http://127.0.0.1:{port}"
    process.kill()
    process.communicate()


async def test_served_for_real(served: tuple[subprocess.Popen[bytes], str]) -> None:
    """The client that trainers use talks to a served judge; SIGTERM ends it in good order."""
    process, url = served
    item = ScoreItem(id="a", prompt="嗓子痛", response="多喝水。")
    async with JudgeClient(url) as client:
        readiness = await client.readiness()
        response = await client.score(ScoreRequest(rubric="medical", items=(item,)))
        assert [card.name for card in await client.rubrics()] == SHIPPED
    assert (readiness.ready, readiness.provider) == (True, "mock")
    assert [result.provider for result in response.items] == ["mock"]
    process.send_signal(signal.SIGTERM)
    out, log = process.communicate(timeout=30)
    assert out == b""
    assert b"Application shutdown complete" in log
    assert "嗓子痛".encode() not in log
