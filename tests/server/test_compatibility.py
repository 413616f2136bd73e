"""OpenAI's and Anthropic's clients at the gateway, before a fake engine: what is passed on and what
comes back. With real clients and engines: `tests/integration/sdk`."""

from __future__ import annotations

from typing import Any

import pytest

from tests.fakes.engine import HeldStream, Refuse
from tests.server.harness import Launcher, Running

ASK = [{"role": "user", "content": "hello"}]
PATHS = ["/v1/chat/completions", "/v1/completions", "/v1/responses", "/v1/messages"]
KEYS = ["anna:user:s3cret-of-anna"]


def sent(running: Running) -> Any:
    """The body that the engine was asked with last."""
    return running.engine.calls[-1][1]


@pytest.mark.parametrize("path", PATHS)
async def test_each_api_is_answered_by_the_version_that_it_names(
    running: Running, path: str
) -> None:
    """Whole and in a stream: in the body, in each event, in the header."""
    answer = await running.http.post(path, json={"messages": ASK})
    assert answer.json()["model"] == "policy@base"
    assert answer.headers["X-Policy-Version"] == "base"
    stream = await running.http.post(path, json={"messages": ASK, "stream": True})
    assert stream.text.count('"model":"policy@base"') == 2
    assert running.engine.served_name not in stream.text


async def test_anthropics_clients_are_refused_in_their_own_shape(running: Running) -> None:
    """By the engine, by the gateway, and by what lies around it; each with the request's id."""
    running.engine.enqueue("/v1/messages", Refuse(400, "too hot"))
    asked: list[tuple[dict[str, Any], str]] = [
        ({"messages": ASK}, "invalid_request_error"),
        ({"model": "claude"}, "not_found_error"),
        ({"messages": "x" * running.settings.body_limit}, "request_too_large"),
    ]
    for body, kind in asked:
        answer = await running.http.post("/v1/messages", json=body)
        told = answer.json()
        assert (told["type"], told["error"]["type"]) == ("error", kind)
        assert told["error"]["message"]
        assert told["request_id"] == answer.headers["request-id"] == answer.headers["X-Request-Id"]
    lost = (await running.http.get("/v1/messages/batches")).json()
    assert lost["error"]["type"] == "not_found_error"


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/v1/chat/completions", 'data: {"error":{"message":"the engine was lost'),
        ("/v1/responses", 'event: error\ndata: {"type":"error","code":"unavailable"'),
        ("/v1/messages", 'event: error\ndata: {"type":"error","error":{"type":"overloaded_error"'),
    ],
)
async def test_a_stream_that_breaks_off_ends_in_an_error_of_its_api(
    running: Running, path: str, expected: str
) -> None:
    """After the events that came whole, so that a client knows that more was to come."""
    stream = HeldStream(breaks_off=True)
    stream.release.set()
    running.engine.enqueue(path, stream)
    running.engine.enqueue("/health", Refuse(503, "dead"))
    answer = await running.http.post(path, json={"messages": ASK, "stream": True})
    event, error = answer.text.strip().split("\n\n")
    assert '"model":"policy@base"' in event
    assert error.startswith(expected)


async def test_a_key_may_come_as_anthropics_clients_send_it(launcher: Launcher) -> None:
    """`x-api-key` opens what `Authorization` opens, and a wrong one is told so in their shape."""
    async with launcher.having(keys=KEYS).start() as running:
        known, unknown = {"x-api-key": "s3cret-of-anna"}, {"x-api-key": "s3cret-of-bob"}
        answer = await running.http.post("/v1/messages", json={"messages": ASK}, headers=known)
        assert answer.status_code == 200
        refused = await running.http.post("/v1/messages", json={"messages": ASK}, headers=unknown)
        assert refused.status_code == 401
        assert refused.json()["error"]["type"] == "authentication_error"


async def test_no_engine_keeps_an_answer(running: Running) -> None:
    """It is told not to; who asks for a kept one is told that there is none."""
    await running.http.post("/v1/responses", json={"input": "hello"})
    assert sent(running)["store"] is False
    asked = len(running.engine.calls)
    for field in ("previous_response_id", "store"):
        answer = await running.http.post("/v1/responses", json={"input": "hello", field: "resp_1"})
        assert (answer.status_code, answer.json()["error"]["param"]) == (422, field)
    for method, path in (("GET", ""), ("DELETE", ""), ("POST", "/cancel")):
        answer = await running.http.request(method, f"/v1/responses/resp_1{path}")
        assert answer.status_code == 404
    assert len(running.engine.calls) == asked


async def test_what_older_clients_and_forced_calls_need_reaches_the_engine(
    running: Running,
) -> None:
    """Reasoning under the name that it reads, and tools that hold it to their schemas."""
    turn = {"role": "assistant", "content": "x", "reasoning_content": "why"}
    tool = {"type": "function", "function": {"name": "f", "parameters": {}}}
    body = {"messages": [*ASK, turn], "tools": [tool], "tool_choice": "required"}
    await running.http.post("/v1/chat/completions", json=body)
    assert sent(running)["messages"][1]["reasoning"] == "why"
    assert sent(running)["tools"][0]["function"]["strict"] is True


async def test_a_model_is_looked_up_by_its_name(running: Running) -> None:
    """Each that is listed, as it is listed; another is not found."""
    for card in (await running.http.get("/v1/models")).json()["data"]:
        assert (await running.http.get(f"/v1/models/{card['id']}")).json() == card
    answer = await running.http.get("/v1/models/gpt-4")
    assert (answer.status_code, answer.json()["error"]["param"]) == (404, "model")
