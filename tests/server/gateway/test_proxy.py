"""What passes through the gateway, and what happens when either side hangs up."""

from __future__ import annotations

import asyncio
import errno
import json
from typing import Any

import aiohttp
import pytest

from galen.errors import Overloaded
from galen.service.web import CLIENT_CLOSED
from server.gateway import proxy
from server.settings import AdapterSettings
from tests.fakes.engine import BreakOff, Die, HeldStream, Hold, Refuse
from tests.server.harness import Launcher, Running

DEAD = Refuse(503, "dead")
CHAT = {"messages": [{"role": "user", "content": "hi"}]}


@pytest.mark.parametrize("path", ["/v1/completions", "/v1/chat/completions"])
async def test_an_answer_names_its_version_in_body_and_header(running: Running, path: str) -> None:
    """The engine's own name never reaches a client."""
    answer = await running.http.post(path, json={"model": "policy", "prompt": "hi", **CHAT})
    assert answer.json()["model"] == "policy@base"
    assert answer.headers["X-Policy-Version"] == "base"
    assert running.engine.served_name not in answer.text
    assert int(answer.headers["Content-Length"]) == len(answer.content)


async def test_every_chunk_of_a_stream_names_its_version(running: Running) -> None:
    """So does each event, and the end of the stream is passed on."""
    answer = await running.ask(stream=True)
    *events, done = answer.text.strip().split("\n\n")
    assert [json.loads(e.removeprefix("data: "))["model"] for e in events] == ["policy@base"] * 2
    assert done == "data: [DONE]"
    assert answer.headers["X-Policy-Version"] == "base"
    assert answer.headers["Content-Type"] == "text/event-stream"


async def test_a_stream_is_passed_on_as_it_comes(running: Running) -> None:
    """The first event is with the client while the engine is still at work on the second."""
    stream = HeldStream()
    running.engine.enqueue("/v1/completions", stream)
    body = {"prompt": "hi", "stream": True}
    async with running.http.stream("POST", "/v1/completions", json=body) as answer:
        pieces = answer.aiter_raw()
        assert b"policy@base" in await anext(pieces)
        stream.release.set()
        assert b"[DONE]" in b"".join([piece async for piece in pieces])


async def test_unknown_fields_reach_the_engine(running: Running) -> None:
    """The gateway does not know what vLLM will take next; the model's name alone is replaced."""
    await running.ask("base", chat_template_kwargs={"enable_thinking": False}, nonsense=[1])
    _, body = running.engine.calls[-1]
    assert body == {
        "model": running.engine.served_name,
        "prompt": "hello",
        "chat_template_kwargs": {"enable_thinking": False},
        "nonsense": [1],
    }


async def test_a_missing_model_is_the_policy(running: Running) -> None:
    """`curl` without a model works."""
    answer = await running.http.post("/v1/chat/completions", json=CHAT)
    assert answer.json()["model"] == "policy@base"


@pytest.mark.parametrize("model", ["gpt-4", "policy@v9", "policy@", "v1", "engine-fake", ""])
async def test_an_unknown_model_is_told_what_there_is(running: Running, model: str) -> None:
    """404 in OpenAI's shape, with the names that a request may use."""
    answer = await running.ask(model)
    error = answer.json()["error"]
    assert (answer.status_code, error["param"]) == (404, "model")
    assert "policy, base, policy@base" in error["message"]


async def test_a_model_that_is_no_name_is_refused(running: Running) -> None:
    """The field is named."""
    answer = await running.http.post("/v1/completions", json={"model": 7})
    assert (answer.status_code, answer.json()["error"]["param"]) == (422, "model")


@pytest.mark.parametrize(
    ("raw", "status", "code"),
    [
        (b"{", 400, "malformed_json"),
        (b"[]", 422, "invalid_request"),
        (rb'{"prompt":"\u0000"}', 422, "invalid_request"),
        (rb'{"prompt":"\ud800"}', 422, "invalid_request"),
    ],
)
async def test_a_bad_body_never_reaches_the_engine(
    running: Running, raw: bytes, status: int, code: str
) -> None:
    """Refused in OpenAI's shape, before anything is asked of the engine."""
    running.engine.calls.clear()
    answer = await running.http.post("/v1/completions", content=raw)
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)
    assert running.engine.calls == []


async def test_the_engines_refusal_is_passed_on(running: Running) -> None:
    """Status and body are the engine's own; vLLM writes OpenAI's shape."""
    running.engine.enqueue("/v1/completions", Refuse(400, "max_tokens is too large"))
    answer = await running.ask()
    assert answer.status_code == 400
    assert answer.json()["error"]["message"] == "max_tokens is too large"
    assert answer.headers["X-Policy-Version"] == "base"


async def test_a_connection_that_the_engine_closes_costs_nobody_an_answer(
    running: Running,
) -> None:
    """vLLM closes one after a failure of its own, when another request may have entered it."""
    running.engine.enqueue("/v1/completions", Die())
    assert (await running.ask()).status_code == 200


async def test_an_engine_lost_before_it_answered_means_try_again(running: Running) -> None:
    """503 with Retry-After, and the server comes back."""
    running.engine.enqueue("/v1/completions", Die(), Die())
    running.engine.enqueue("/health", DEAD)
    answer = await running.ask()
    assert answer.status_code == 503
    assert int(answer.headers["Retry-After"]) >= 1
    await running.engine.ready.wait()
    assert (await running.ask()).status_code == 200


async def test_an_engine_lost_in_mid_stream_is_said_in_the_stream(running: Running) -> None:
    """What was written stays; an error event ends it, and no `[DONE]` claims that it is whole."""
    stream = HeldStream(breaks_off=True)
    running.engine.enqueue("/v1/completions", stream)
    running.engine.enqueue("/health", DEAD)
    stream.release.set()
    *_, last = (await running.ask(stream=True)).text.strip().split("\n\n")
    assert json.loads(last.removeprefix("data: "))["error"]["code"] == "unavailable"


async def test_a_stream_lost_before_its_first_event_means_try_again(running: Running) -> None:
    """Its status is not sent yet, so it can still be 503, or another engine's answer."""
    stream = HeldStream(breaks_off=True, is_silent=True)
    running.engine.enqueue("/v1/completions", stream)
    running.engine.enqueue("/health", DEAD)
    stream.release.set()
    answer = await running.ask(stream=True)
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "unavailable")


async def test_a_server_without_files_left_says_so(running: Running) -> None:
    """It is not the engine that is lost."""
    too_many = aiohttp.ClientConnectorError(None, OSError(errno.EMFILE, "too many open files"))
    problem = await proxy._failure(None, too_many)
    assert isinstance(problem, Overloaded)


async def test_a_request_that_the_engine_breaks_off_is_no_lost_engine(running: Running) -> None:
    """The same again would be broken off again, so nobody is told to come back."""
    running.engine.enqueue("/v1/completions", BreakOff(), BreakOff())
    answer = await running.ask()
    assert (answer.status_code, answer.json()["error"]["code"]) == (502, "upstream_failed")
    assert "Retry-After" not in answer.headers


@pytest.mark.parametrize(
    ("status", "code"),
    [(400, "invalid_request"), (404, "not_found"), (500, "engine_error"), (501, "not_implemented")],
)
async def test_a_fault_of_the_engines_stays_one(running: Running, status: int, code: str) -> None:
    """Whatever the request asked for: a 500 is retried and raises an alert, a 400 does not."""
    running.engine.enqueue("/v1/completions", Refuse(status, "Internal server error"))
    answer = await running.ask(response_format={"type": "json_object"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)
    assert (await running.ask()).status_code == 200


async def test_a_refusal_that_is_no_json_gets_openais_shape(running: Running) -> None:
    """As a proxy before a remote engine writes it; the status stays."""
    answer = await running.http.post("/detokenize", json={"tokens": [1]})
    assert (answer.status_code, answer.headers["content-type"]) == (404, "application/json")
    assert answer.json()["error"]["message"] == "the engine answered with status 404"


async def test_an_answer_too_large_to_keep_is_refused(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A few prompts with many samples and log-probabilities make hundreds of megabytes."""
    monkeypatch.setattr(proxy, "LARGEST_ANSWER", 10)
    answer = await running.ask()
    assert (answer.status_code, answer.json()["error"]["param"]) == (422, "n")
    assert "ask with stream" in answer.json()["error"]["message"]
    assert (await running.ask(stream=True)).status_code == 200


@pytest.mark.parametrize("path", ["/v1/responses%0A", "/v1/chat/completions%0A", "/policy%0A"])
async def test_a_path_with_a_line_break_is_no_route(running: Running, path: str) -> None:
    """It would match the route's pattern, and slip past rules that compare paths."""
    running.engine.calls.clear()
    answer = await running.http.post(path, json={"input": "hi", "store": True})
    assert answer.status_code == 404
    assert running.engine.calls == []


async def test_what_is_malformed_counts_by_its_keys_rate(launcher: Launcher) -> None:
    """Reading a large body costs as much as answering a small one."""
    async with launcher.having(keys=["ann:user:secret-ann:2"]).start() as running:
        running.http.headers["Authorization"] = "Bearer secret-ann"
        for status in (400, 400, 429):
            answer = await running.http.post("/v1/completions", content=b"{")
            assert answer.status_code == status


async def test_a_client_that_leaves_a_stream_ends_the_generation(running: Running) -> None:
    """The connection to the engine is closed, by which vLLM stops."""
    stream = HeldStream()
    running.engine.enqueue("/v1/completions", stream)
    body = {"prompt": "hi", "stream": True}
    async with running.http.stream("POST", "/v1/completions", json=body) as answer:
        await anext(answer.aiter_raw())
    await stream.hung_up.wait()


async def test_a_client_that_leaves_before_the_answer_ends_the_generation(
    running: Running,
) -> None:
    """Also when it is not streamed; the metrics know of it, and a swap need not wait for it."""
    hold = Hold()
    running.engine.enqueue("/v1/completions", hold)
    asking = asyncio.create_task(running.ask())
    await hold.arrived.wait()
    asking.cancel()
    await hold.hung_up.wait()
    counted = (await running.http.get("/metrics")).text
    assert f'route="/v1/completions",status="{CLIENT_CLOSED}"' in counted
    await running.http.post("/policy/activate", json={"name": "base"})


async def test_a_rollouts_priority_is_set_by_its_key(launcher: Launcher) -> None:
    """The engine gets it for rollouts and not for people."""
    keys = ["ann:user:secret-ann", "ppo:rollout:secret-ppo"]
    async with launcher.having(keys=keys).start() as running:
        for secret, priority in (("secret-ann", None), ("secret-ppo", 10)):
            headers = {"Authorization": f"Bearer {secret}"}
            await running.http.post("/v1/chat/completions", json=CHAT, headers=headers)
            assert running.engine.calls[-1][1].get("priority") == priority


async def test_the_request_id_goes_with_the_request(running: Running) -> None:
    """One id from the client through to the engine and back; a trace goes on to the engine."""
    trace = {"traceparent": f"00-{'a' * 32}-{'b' * 16}-01", "tracestate": "vendor=1"}
    headers = {"X-Request-Id": "abc-1", **trace}
    answer = await running.http.post("/v1/chat/completions", json=CHAT, headers=headers)
    assert answer.headers["X-Request-Id"] == "abc-1"
    assert running.engine.request_ids[-1] == "abc-1"
    _, _, received = running.engine.received[-1]
    assert {name.lower(): value for name, value in received.items()}.items() >= trace.items()


@pytest.mark.parametrize(
    ("asked", "param"),
    [({"prompt_logprobs": 0}, "prompt_logprobs"), ({"echo": True, "logprobs": 1}, "echo")],
)
async def test_a_server_of_adapters_gives_no_prompt_logprobs(
    launcher: Launcher, asked: dict[str, Any], param: str
) -> None:
    """Two such requests at once would end the engine for everybody; one of merged weights gives
    them."""
    async with launcher.start() as merged:
        assert (await merged.ask(**asked)).status_code == 200
    async with launcher.having(adapters=AdapterSettings()).start() as adapters:
        answer = await adapters.ask(**asked)
        assert (answer.status_code, answer.json()["error"]["param"]) == (422, param)
        assert (await adapters.ask(echo=True)).status_code == 200
        assert (await adapters.ask(logprobs=1)).status_code == 200


async def test_tokenize_is_passed_on(running: Running) -> None:
    """vLLM's token routes serve the same models."""
    answer = await running.http.post("/tokenize", json={"model": "policy", "prompt": "a"})
    assert answer.json() == {"count": 1, "tokens": [7]}


@pytest.mark.parametrize("path", ["/pause", "/collective_rpc", "/v1/load_lora_adapter", "/health"])
async def test_the_engines_own_switches_are_out_of_reach(running: Running, path: str) -> None:
    """Only listed routes are passed on."""
    assert (await running.http.post(path, json={})).status_code == 404


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"prompt_embeds": "AAAA"}, "prompt_embeds"),
        ({"kv_transfer_params": {"do_remote_prefill": True}}, "kv_transfer_params"),
        ({"top_k": 2**70}, "top_k"),
        ({"tools": [{"function": {"x": 5}}]}, "tools.0"),
    ],
)
async def test_a_dangerous_field_never_reaches_the_engine(
    running: Running, change: dict[str, Any], param: str
) -> None:
    """422, naming it."""
    running.engine.calls.clear()
    answer = await running.ask(**change)
    assert (answer.status_code, answer.json()["error"]["param"]) == (422, param)
    assert running.engine.calls == []
