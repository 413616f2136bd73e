"""The shapes of the gateway's own errors: OpenAI's, and Anthropic's below `/v1/messages`.

An engine's own refusals pass unchanged.
"""

from __future__ import annotations

import json
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from galen.errors import GalenError
from galen.telemetry import REQUEST_ID_HEADER
from server.paths import MESSAGES, RESPONSES

_ANTHROPIC_TYPES = {
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    408: "timeout_error",
    409: "conflict_error",
    413: "request_too_large",
    429: "rate_limit_error",
    503: "overloaded_error",
    504: "timeout_error",
}
_CODES = {404: "not_found", 429: "overloaded", 501: "not_implemented", 503: "unavailable"}
_OUR_ID, _ANTHROPIC_ID = REQUEST_ID_HEADER.lower().encode(), b"request-id"


def stream_error(error: GalenError, path: str) -> bytes:
    """The event that ends a stream which cannot be finished."""
    if path == MESSAGES:
        return b"event: error\ndata: " + _anthropic(error.status, error.message, None) + b"\n\n"
    if path == RESPONSES:
        event = {"type": "error", "code": error.code, "message": error.message}
        fields = {**event, "param": error.param, **error.body()}
        return b"event: error\ndata: " + _json(fields) + b"\n\n"
    return b"data: " + _json(error.body()) + b"\n\n"


def refusal(status: int, content: bytes) -> bytes:
    """An engine's error in OpenAI's shape: `type` and `code` in OpenAI's words, which clients look
    for; message and field as the engine wrote them."""
    message, param = _message_in(content)
    too_long = "maximum context length" in message
    code = "invalid_request" if status < 500 else "engine_error"
    error = {
        "message": message or f"the engine answered with status {status}",
        "type": "invalid_request_error" if status < 500 else "server_error",
        "param": param,
        "code": "context_length_exceeded" if too_long else _CODES.get(status, code),
    }
    return _json({"error": error})


class AnthropicErrors:
    """ASGI middleware for `/v1/messages`: errors get Anthropic's shape, and the request's id also
    gets the name that Anthropic's SDK reads."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        is_theirs = scope["type"] == "http" and f"{scope['path']}/".startswith(f"{MESSAGES}/")
        await self._app(scope, receive, _Translator(send) if is_theirs else send)


class _Translator:
    """`send` for one answer. An error is held back until it is whole; anything else passes."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._start: Message | None = None
        self._content = b""

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = list(message.get("headers", ()))
            headers += [(_ANTHROPIC_ID, value) for name, value in headers if name == _OUR_ID]
            message["headers"] = headers
            if message["status"] >= 400:
                self._start = message
                return
        elif self._start:
            self._content += message.get("body", b"")
            if not message.get("more_body"):
                await self._send_error(self._start)
            return
        await self._send(message)

    async def _send_error(self, start: Message) -> None:
        this_id = dict(start["headers"]).get(_ANTHROPIC_ID)
        content = _anthropic(start["status"], _message_in(self._content)[0], this_id)
        kept = [h for h in start["headers"] if h[0] not in (b"content-length", b"content-type")]
        length = str(len(content)).encode()
        described = [(b"content-type", b"application/json"), (b"content-length", length)]
        await self._send({**start, "headers": [*kept, *described]})
        await self._send({"type": "http.response.body", "body": content})


def _message_in(content: bytes) -> tuple[str, str | None]:
    """Message and field of an error in OpenAI's or Anthropic's shape; empty if it has neither."""
    try:
        error = json.loads(content)["error"]
        message, param = error["message"], error.get("param")
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return "", None
    return str(message), param if isinstance(param, str) else None


def _anthropic(status: int, message: str, this_id: bytes | None) -> bytes:
    kind = _ANTHROPIC_TYPES.get(status, "invalid_request_error" if status < 500 else "api_error")
    error = {"type": kind, "message": message or f"status {status}"}
    request_id = this_id.decode() if this_id else None
    return _json({"type": "error", "error": error, "request_id": request_id})


def _json(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()
