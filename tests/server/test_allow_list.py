"""Which of the engine's routes, and what of a request, a client can reach."""

from __future__ import annotations

import asyncio
import json

import pytest

from tests.server.harness import Running

ALLOWED = {
    *("/v1/chat/completions", "/v1/completions", "/v1/responses"),
    *("/v1/messages", "/v1/messages/count_tokens", "/tokenize", "/detokenize"),
}
OWN = {"/health", "/metrics", "/v1/models", "/docs", "/openapi.json"}
"""Routes of vLLM that the gateway has too, and answers by itself."""
ROUTES = """
/abort_requests /classify /cohere/v2/chat /cohere/v2/chat/render /collective_rpc /detokenize /docs
/fault_tolerance/apply /fault_tolerance/status /finish_weight_update /generative_scoring
/get_world_size /health /inference/v1/abort_requests /inference/v1/generate
/init_weight_transfer_engine /invocations /is_paused /is_scaling_elastic_ep /is_sleeping
/kv_event_sources /load /metrics /openapi.json /pause /ping /pooling /release_kv_cache_memory
/rerank /reset_encoder_cache /reset_mm_cache /reset_prefix_cache /resume /scale_elastic_ep /score
/server_info /shutdown_weight_transfer_engine /sleep /start_draft_weight_update /start_profile
/start_weight_update /stop_profile /tokenize /tokenizer_info /update_weight_version /update_weights
/v1/audio/transcriptions /v1/audio/translations /v1/chat/completions /v1/chat/completions/batch
/v1/chat/completions/derender /v1/chat/completions/render /v1/completions
/v1/completions/derender /v1/completions/render /v1/embeddings /v1/load_lora_adapter /v1/messages
/v1/messages/count_tokens /v1/messages/render /v1/models /v1/realtime /v1/rerank /v1/responses
/v1/responses/render /v1/responses/resp_1 /v1/responses/resp_1/cancel /v1/score /v1/systemone
/v1/unload_lora_adapter /v2/embed /v2/rerank /version /wake_up /weight_checker /weight_info
"""
VLLM = frozenset(ROUTES.split())
"""Every route that vLLM 0.32 has."""
METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "HEAD", "TRACE", "BREW")
DISGUISES = (
    "{path}",
    "{path}/",
    "/{path}",
    "/.{path}",
    "/v1/..{path}",
    "/v1/completions/..{path}",
    "/v1/completions/../..{path}",
    "/v1/completions;{path}",
    "/v1/completions%2f..%2f..{path}",
    "/v1/%2e%2e{path}",
    "/%2e%2e{path}",
    "{path}?a=/v1/completions",
    "{path}%3f/v1/completions",
    "{path}%00",
    "{path}%20",
    "http://localhost{path}",
)


async def ask(running: Running, *requests: bytes) -> bytes:
    """What the server answers to requests sent as they are, one after another."""
    reader, writer = await asyncio.open_connection(running.http.base_url.host, running.port)
    writer.write(b"".join(requests))
    answer = await asyncio.wait_for(reader.read(), 20)
    writer.close()
    return answer


def request(method: str, path: str, *headers: str) -> bytes:
    body = json.dumps({"prompt": "hi", "messages": [], "method": "x", "path": "x"})
    lines = [f"{method} {path} HTTP/1.1", "Host: localhost", f"Content-Length: {len(body)}"]
    lines += ["Content-Type: application/json", "Connection: close", *headers]
    return "\r\n".join([*lines, "", body]).encode()


def reached(running: Running) -> set[str]:
    """Paths of the engine that were asked for, with their queries; a scrape is the gateway's."""
    return {path for _, path, _ in running.engine.received} - {"/metrics"}


@pytest.mark.parametrize("disguise", DISGUISES)
async def test_no_other_route_of_the_engine_is_reached(running: Running, disguise: str) -> None:
    """However its path is written and whatever the method."""
    running.engine.received.clear()
    for path in sorted(VLLM - ALLOWED - OWN):
        for method in ("GET", "POST"):
            answer = await ask(running, request(method, disguise.format(path=path)))
            assert answer.split()[1] in (b"307", b"400", b"404", b"405"), (method, path)
    assert reached(running) == set()


@pytest.mark.parametrize("disguise", DISGUISES)
async def test_an_allowed_route_is_reached_under_its_own_name_alone(
    running: Running, disguise: str
) -> None:
    """What the engine is asked is the route, never what the client wrote."""
    running.engine.received.clear()
    for path in sorted(ALLOWED):
        await ask(running, request("POST", disguise.format(path=path)))
    assert reached(running) <= ALLOWED


@pytest.mark.parametrize("method", METHODS)
async def test_the_engine_is_only_ever_asked_by_post(running: Running, method: str) -> None:
    """A method that a route does not have is answered by the gateway."""
    running.engine.received.clear()
    for path in sorted(ALLOWED):
        await ask(running, request(method, path))
    assert {asked for asked, _, _ in running.engine.received} <= {"POST"}


async def test_nothing_of_a_request_but_its_body_and_id_reaches_the_engine(
    running: Running,
) -> None:
    """No query, no key, no cookie, no header by which vLLM would be steered."""
    running.engine.received.clear()
    steering = ["X-data-parallel-rank: 7", "X-Session-Id: 1", "Cookie: a=b", "X-Forwarded-For: 1"]
    secret = "Authorization: Bearer secret-of-admin"
    own_id = "X-Request-Id: mine"
    sent = request("POST", "/v1/completions?stream=true&a=b", *steering, secret, own_id)
    assert (await ask(running, sent)).split()[1] == b"200"
    ((method, path, headers),) = running.engine.received
    assert (method, path) == ("POST", "/v1/completions")
    expected = {"host", "accept", "accept-encoding", "user-agent", "content-type"}
    names = {name.lower() for name in headers}
    assert names == expected | {"content-length", "x-request-id"}
    assert "mine" in headers.values()
    assert "secret" not in str(headers)


@pytest.mark.parametrize("host", ["localhost/pause?x=", "localhost/pause#", "a@localhost/pause?"])
async def test_a_host_that_holds_a_path_leads_nowhere_else(running: Running, host: str) -> None:
    """The path that is passed on is that of the request's first line."""
    running.engine.received.clear()
    sent = request("POST", "/v1/completions").replace(b"Host: localhost", f"Host: {host}".encode())
    await ask(running, sent)
    assert reached(running) <= {"/v1/completions"}
