"""Errors in the shape and with the names that each API's clients read."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from galen.errors import InvalidInput, Overloaded, Unavailable
from server.gateway.errors import AnthropicErrors, refusal, stream_error


def test_an_engines_refusal_keeps_its_words_and_gets_openais_type_and_code() -> None:
    """Clients look for them; vLLM writes a class's name and a number."""
    engine = {"message": "too hot", "type": "BadRequestError", "param": "temperature", "code": 400}
    assert json.loads(refusal(400, json.dumps({"error": engine}).encode()))["error"] == {
        "message": "too hot",
        "type": "invalid_request_error",
        "param": "temperature",
        "code": "invalid_request",
    }


def test_a_prompt_beyond_the_context_has_the_code_that_clients_look_for() -> None:
    """Some shorten the conversation when they read it."""
    engine = {"message": "This model's maximum context length is 8 tokens.", "code": 400}
    error = json.loads(refusal(400, json.dumps({"error": engine}).encode()))["error"]
    assert error["code"] == "context_length_exceeded"


@pytest.mark.parametrize("content", [b"", b"<html>", b"[]", b'{"error":"x"}', b'{"error":{}}'])
def test_a_refusal_without_words_names_its_status(content: bytes) -> None:
    """A proxy before a remote engine may answer anything."""
    error = json.loads(refusal(502, content))["error"]
    assert error["message"] == "the engine answered with status 502"


LOST = Unavailable("the engine was lost", retry_after_s=5)


def event_of(path: str) -> tuple[str | None, dict[str, Any]]:
    """The event's name, if it has one, and its data."""
    raw = stream_error(LOST, path).decode()
    assert raw.endswith("\n\n")
    *named, data = raw.strip().split("\n")
    event = named[0].removeprefix("event: ") if named else None
    return event, json.loads(data.removeprefix("data: "))


def test_a_broken_stream_of_chat_ends_in_openais_error() -> None:
    """The SDK looks for `error` in any event."""
    assert event_of("/v1/chat/completions") == (None, LOST.body())


def test_a_broken_stream_of_a_response_ends_in_an_error_event() -> None:
    """With the fields of OpenAI's own event, and with `error`, by which the SDK raises."""
    event, data = event_of("/v1/responses")
    assert event == data["type"] == "error"
    assert (data["code"], data["message"]) == ("unavailable", "the engine was lost")
    assert data["error"] == LOST.body()["error"]


def test_a_broken_stream_of_messages_ends_in_anthropics_error() -> None:
    """With the name that their SDK knows."""
    event, data = event_of("/v1/messages")
    assert (event, data["type"]) == ("error", "error")
    assert data["error"] == {"type": "overloaded_error", "message": "the engine was lost"}


def app() -> AnthropicErrors:
    """Answers as the path says: an error of Galen's, an engine's, a page, or a stream."""

    async def own(request: Request) -> Response:
        error = Overloaded("wait", retry_after_s=3)
        headers = {"Retry-After": "3", "X-Request-Id": "r1"}
        return JSONResponse(error.body(), error.status, headers)

    async def status(request: Request) -> Response:
        error = InvalidInput("wrong").body()
        return JSONResponse(error, int(request.path_params["status"]))

    async def theirs(request: Request) -> Response:
        error = {"type": "BadRequestError", "message": "no"}
        return JSONResponse({"type": "error", "error": error}, 400)

    async def page(request: Request) -> Response:
        return Response("<html>", 502, media_type="text/html")

    async def stream(request: Request) -> Response:
        async def pieces() -> AsyncIterator[bytes]:
            yield b"one"
            yield b"two"

        return StreamingResponse(pieces(), headers={"X-Request-Id": "r1"})

    async def pieces_of_an_error(request: Request) -> Response:
        async def pieces() -> AsyncIterator[bytes]:
            yield b'{"error":{"mess'
            yield b'age":"in pieces"}}'

        return StreamingResponse(pieces(), 400)

    def routes(at: str) -> list[Route]:
        return [
            Route(f"{at}/own", own),
            Route(f"{at}/status/{{status}}", status),
            Route(f"{at}/theirs", theirs),
            Route(f"{at}/page", page),
            Route(f"{at}/stream", stream),
            Route(f"{at}/pieces", pieces_of_an_error),
        ]

    return AnthropicErrors(Starlette(routes=[*routes("/v1/messages"), *routes("/v1/other")]))


async def get(path: str) -> httpx.Response:
    transport = httpx.ASGITransport(app())
    async with httpx.AsyncClient(transport=transport, base_url="http://galen") as http:
        return await http.get(path)


async def test_an_error_below_messages_has_anthropics_shape() -> None:
    """Status and headers stay; the request's id is where their SDK looks for it."""
    answer = await get("/v1/messages/own")
    assert (answer.status_code, answer.headers["Retry-After"]) == (429, "3")
    assert answer.headers["request-id"] == answer.headers["X-Request-Id"] == "r1"
    assert answer.headers["content-type"] == "application/json"
    assert answer.json() == {
        "type": "error",
        "error": {"type": "rate_limit_error", "message": "wait"},
        "request_id": "r1",
    }


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, "invalid_request_error"),
        (401, "authentication_error"),
        (403, "permission_error"),
        (404, "not_found_error"),
        (413, "request_too_large"),
        (422, "invalid_request_error"),
        (429, "rate_limit_error"),
        (500, "api_error"),
        (502, "api_error"),
        (503, "overloaded_error"),
        (504, "timeout_error"),
    ],
)
async def test_each_status_has_anthropics_name(status: int, kind: str) -> None:
    """So that a client may go by the name as well as by the class."""
    answer = await get(f"/v1/messages/status/{status}")
    assert answer.status_code == status
    assert answer.json()["error"] == {"type": kind, "message": "wrong"}


async def test_an_error_that_comes_in_pieces_is_translated_whole() -> None:
    """Held until its last byte, and sent with its own length."""
    answer = await get("/v1/messages/pieces")
    assert answer.json()["error"]["message"] == "in pieces"
    assert int(answer.headers["content-length"]) == len(answer.content)


async def test_an_error_without_words_is_one_all_the_same() -> None:
    """Even a page of HTML becomes an error that can be read."""
    answer = await get("/v1/messages/page")
    assert answer.json()["error"] == {"type": "api_error", "message": "status 502"}


async def test_an_engines_error_in_anthropics_shape_gets_a_type_that_their_sdk_knows() -> None:
    """vLLM writes the shape with the name of a class of its own."""
    expected = {"type": "invalid_request_error", "message": "no"}
    assert (await get("/v1/messages/theirs")).json()["error"] == expected


async def test_answers_pass_untouched() -> None:
    """Streams below messages, and all that lies elsewhere, errors included."""
    assert (await get("/v1/messages/stream")).content == b"onetwo"
    assert (await get("/v1/messages/stream")).headers["request-id"] == "r1"
    assert (await get("/v1/other/own")).json() == Overloaded("wait").body()
    assert "request-id" not in (await get("/v1/other/own")).headers
    assert (await get("/v1/messagesx")).text == "Not Found"
