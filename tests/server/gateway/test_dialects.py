"""Errors in the shape and with the names that each API's clients read."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from galen.errors import InvalidInput, Overloaded, Unavailable
from server.gateway.dialects import (
    LONGEST_MESSAGE,
    AnthropicErrors,
    refusal,
    refusal_event,
    stream_error,
)

VALIDATION = (
    "2 validation errors:\n"
    "  {'type': 'list_type', 'loc': 'body.messages', 'msg': 'Input should be a valid list',"
    " 'input': 'my secret'}\n"
    "  {'type': 'value_error', 'loc': 'body.max_tokens', 'msg': \"Value error, it can't\","
    " 'input': 'my secret', 'ctx': {'error': ValueError('x')}}"
)


def error_of(status: int, body: Any) -> dict[str, Any]:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    error: dict[str, Any] = json.loads(refusal(status, raw))["error"]
    return error


def test_a_stream_whose_engine_died_says_to_try_again() -> None:
    """vLLM tells its own operator to look at a trace, which no caller has."""
    said = "EngineCore encountered an issue. See stack trace (above) for the root cause."
    body = {"error": {"message": said, "type": "InternalServerError", "param": None, "code": 500}}
    error = json.loads(refusal_event(json.dumps(body).encode()))["error"]
    assert error["code"] == "unavailable"
    assert error["message"] == "the engine was lost while it worked on this; try again shortly"


def test_an_engines_refusal_gets_words_for_its_numbers() -> None:
    """`code` is a word and `type` one of OpenAI's; message and field are the engine's own."""
    engine = {"message": "too hot", "type": "BadRequestError", "param": "body.temperature"}
    assert error_of(400, {"error": {**engine, "code": 400}}) == {
        "message": "too hot",
        "type": "invalid_request_error",
        "param": "temperature",
        "code": "invalid_request",
    }


@pytest.mark.parametrize(
    ("status", "kind", "code"),
    [
        (404, "invalid_request_error", "not_found"),
        (422, "invalid_request_error", "invalid_request"),
        (429, "invalid_request_error", "overloaded"),
        (500, "server_error", "engine_error"),
        (501, "server_error", "not_implemented"),
        (503, "server_error", "unavailable"),
    ],
)
def test_a_status_has_its_type_and_code(status: int, kind: str, code: str) -> None:
    """Those that Galen's own errors have for it."""
    error = error_of(status, {"error": {"message": "m", "type": "X", "code": status}})
    assert (error["type"], error["code"]) == (kind, code)


def test_a_list_of_wrong_fields_is_told_without_their_values() -> None:
    """Which field, and what is wrong with it; not what the caller wrote into it."""
    error = error_of(400, {"error": {"message": VALIDATION, "param": "body.messages", "code": 400}})
    assert error["param"] == "messages"
    expected = "messages: Input should be a valid list; max_tokens: Value error, it can't"
    assert error["message"] == expected


def test_pydantics_own_words_are_told_without_their_values() -> None:
    """So does an error that vLLM passes on as pydantic wrote it."""
    dump = (
        "8 validation errors for ValidatorIterator\n0.TextParam.text\n  Field required"
        " [type=missing, input_value={'a': 'my secret'}, input_type=dict]\n    For further"
        " information visit https://errors.example/missing\n0.TextParam.type\n  Input should be"
        " 'text' [type=literal_error, input_value='my secret', input_type=str]"
    )
    error = error_of(400, {"error": {"message": dump, "param": None, "code": 400}})
    expected = "0.TextParam.text: Field required; 0.TextParam.type: Input should be 'text'"
    assert (error["param"], error["message"]) == ("0.TextParam.text", expected)


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("n is bad. (parameter=n)", "n is bad."),
        ("n is bad (parameter=n, value=['my\nsecret', 'a)'])", "n is bad"),
        ("a note (see parameter=n) on n", "a note (see parameter=n) on n"),
    ],
)
def test_a_value_behind_a_message_is_left_out(said: str, told: str) -> None:
    """vLLM puts the field and its value there; the field is told apart."""
    error = error_of(400, {"error": {"message": said, "param": "n", "code": 400}})
    assert (error["message"], error["param"]) == (told, "n")


def test_a_prompt_beyond_the_context_has_the_code_that_clients_look_for() -> None:
    """Some shorten the conversation when they read it."""
    message = "This model's maximum context length is 8 tokens. However, …"
    error = error_of(400, {"error": {"message": message, "param": "input_tokens", "code": 400}})
    assert error["code"] == "context_length_exceeded"


@pytest.mark.parametrize("content", [b"", b"<html>", b"[]", b'{"error":"x"}', b'{"error":{}}'])
def test_a_refusal_without_words_names_its_status(content: bytes) -> None:
    """A proxy before a remote engine may answer anything."""
    error = error_of(502, content)
    assert (error["message"], error["code"]) == (
        "the engine answered with status 502",
        "engine_error",
    )


@given(st.integers(400, 599), st.binary(max_size=200) | st.text().map(lambda s: s.encode()))
def test_whatever_an_engine_refuses_with_has_the_shape(status: int, content: bytes) -> None:
    """Four fields, words or nothing, and no longer than a message should be."""
    error = error_of(status, content)
    assert error.keys() == {"message", "type", "param", "code"}
    assert error["message"] and len(error["message"]) <= LONGEST_MESSAGE


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


async def test_answers_pass_untouched() -> None:
    """Streams below messages, and all that lies elsewhere, errors included."""
    assert (await get("/v1/messages/stream")).content == b"onetwo"
    assert (await get("/v1/messages/stream")).headers["request-id"] == "r1"
    assert (await get("/v1/other/own")).json() == Overloaded("wait").body()
    assert "request-id" not in (await get("/v1/other/own")).headers
    assert (await get("/v1/messagesx")).text == "Not Found"
