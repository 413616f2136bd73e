"""The shapes of errors: OpenAI's everywhere, also of what the engine refuses, and Anthropic's below
`/v1/messages`. A status stays, so that each SDK raises the class that it stands for, but for what
vLLM calls its own fault and is a schema's."""

from __future__ import annotations

import json
import re
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from galen.errors import GalenError, SchemaNotFollowed
from galen.telemetry import REQUEST_ID_HEADER
from server.paths import MESSAGES, RESPONSES

LONGEST_MESSAGE = 1000
"""Characters of an engine's own words."""
MOST_PROBLEMS = 5
_CODES = {
    401: "unauthorized",
    403: "forbidden",
    404: "not_found",
    408: "too_slow",
    409: "conflict",
    413: "payload_too_large",
    429: "overloaded",
    501: "not_implemented",
    503: "unavailable",
    504: "deadline_exceeded",
}
_ANTHROPIC_KINDS = {
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
_TOO_LONG = "maximum context length"
_LOST = "the engine was lost while it worked on this; try again shortly"
_DEAD = "EngineCore encountered an issue"
"""What vLLM says into each stream when its core has died; it goes on with a trace to look at."""
_GAVE_UP = "Internal server error"
"""What vLLM says, with status 500, when its core has given up one request and lives on. Of a
request without a schema this is a fault of the engine's. Of one with a schema it nearly always
means that no token was left which the schema allows."""
_NOT_FOLLOWED = (
    "the engine could not follow the schema or grammar of this request; mend it, as where it refers"
    " to itself without end or has a pattern that no text fits"
)
_CODE = re.compile(r"'code': (\d{3})\}")
_FIRST_LETTERS = "{'error': {'message': '"
"""What a dump still has of a refusal, though cut in its middle: its code, and two letters of its
words behind these."""
_PROBLEM = re.compile(r"'loc': '(?:body\.?)?([^']*)', 'msg': (['\"])(.*?)\2, ")
"""A field and what is wrong with it, in what vLLM makes of pydantic's errors."""

_DUMP = re.compile(r"^(\S+)\n  (.+?) \[type=", re.MULTILINE)
"""The same in pydantic's own words, which go on with the value."""
_VALUE = re.compile(r" \(parameter=[^,)]*(?:, value=.*)?\)\s*$", re.DOTALL)
"""What vLLM puts behind a message: the field, which `param` says too, and its value."""


def refusal(status: int, content: bytes) -> bytes:
    """What an engine refused, in OpenAI's shape; values of the request are not repeated."""
    message, param = _said(content)
    problems = [(field, what) for field, _, what in _PROBLEM.findall(message)]
    if problems := list(dict.fromkeys(problems or _DUMP.findall(message))):
        param = problems[0][0] or None
        shown = problems[:MOST_PROBLEMS]
        message = "; ".join(f"{field or 'body'}: {what}" for field, what in shown)
    message = _VALUE.sub("", message)
    if message.startswith(_DEAD):
        status, message = 503, _LOST
    code = _CODES.get(status, "invalid_request" if status < 500 else "engine_error")
    error = {
        "message": message[:LONGEST_MESSAGE] or f"the engine answered with status {status}",
        "type": "invalid_request_error" if status < 500 else "server_error",
        "param": param.removeprefix("body.") if param else None,
        "code": "context_length_exceeded" if _TOO_LONG in message else code,
    }
    return _json({"error": error})


def refuse_unfollowed(status: int, content: bytes) -> None:
    """`SchemaNotFollowed` if an engine gave up a request whose answer had to fit a schema."""
    if _gave_up(status, content):
        raise SchemaNotFollowed(_NOT_FOLLOWED)


def _gave_up(status: int, content: bytes) -> bool:
    """Whether an engine that is alive says that it gave up this one request."""
    return status == 500 and _said(content)[0] == _GAVE_UP


def refusal_event(data: bytes, *, constrained: bool = False) -> bytes:
    """The same as `refusal` for what an engine refused after it had begun a stream: the data of an
    event. `constrained` if the answer had to fit a schema or a grammar."""
    try:
        code = json.loads(data)["error"]["code"]
    except (ValueError, KeyError, TypeError, RecursionError):
        code = None
    status = code if isinstance(code, int) and 400 <= code < 600 else 500
    if constrained and _gave_up(status, data):
        return _json(SchemaNotFollowed(_NOT_FOLLOWED).body())
    return refusal(status, data)


def messages_event(data: bytes, *, constrained: bool = False) -> bytes:
    """The same for a stream of `/v1/messages`. There vLLM reads each refusal amid its own chat
    stream as a piece of an answer, and dumps why it is none; the dump is never shown."""
    said, _ = _said(data)
    if not _DUMP.search(said):
        return data.replace(b'"internal_error"', b'"api_error"', 1)
    code = _CODE.search(said)
    status = int(code[1]) if code else 500
    if f"{_FIRST_LETTERS}{_DEAD[:2]}" in said:
        return _anthropic(503, _LOST, None)
    if status < 500:
        return _anthropic(status, "the engine refused this; ask without stream to read why", None)
    if constrained and status == 500 and f"{_FIRST_LETTERS}{_GAVE_UP[:2]}" in said:
        return _anthropic(SchemaNotFollowed.status, _NOT_FOLLOWED, None)
    return _anthropic(status, "the engine failed at this request; its log may say why", None)


def stream_error(error: GalenError, path: str) -> bytes:
    """The event that ends a stream which cannot be brought to its end."""
    if path == MESSAGES:
        return b"event: error\ndata: " + _anthropic(error.status, error.message, None) + b"\n\n"
    if path == RESPONSES:
        told = {"type": "error", "code": error.code, "message": error.message, "param": error.param}
        return b"event: error\ndata: " + _json({**told, **error.body()}) + b"\n\n"
    return b"data: " + _json(error.body()) + b"\n\n"


class AnthropicErrors:
    """ASGI middleware: below `/v1/messages`, errors in Anthropic's shape and the request's id under
    the name that its SDK reads. Whatever lies within answers in OpenAI's shape."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        is_theirs = scope["type"] == "http" and f"{scope['path']}/".startswith(f"{MESSAGES}/")
        await self._app(scope, receive, _Translated(send) if is_theirs else send)


class _Translated:
    """`send` for one answer: an error is held until it is whole, anything else passes."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._begun: Message | None = None
        self._content = b""

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = _with_their_id(message.get("headers", ()))
            if message["status"] >= 400:
                self._begun = message
                return
        elif self._begun:
            self._content += message.get("body", b"")
            if not message.get("more_body"):
                await self._send_error(self._begun)
            return
        await self._send(message)

    async def _send_error(self, begun: Message) -> None:
        this_id = dict(begun["headers"]).get(_THEIR_ID)
        said, _ = _said(self._content)
        translated = _anthropic(begun["status"], said, this_id.decode() if this_id else None)
        kept = [h for h in begun["headers"] if h[0] not in (b"content-length", b"content-type")]
        length = str(len(translated)).encode()
        described = [(b"content-type", b"application/json"), (b"content-length", length)]
        await self._send({**begun, "headers": [*kept, *described]})
        await self._send({"type": "http.response.body", "body": translated})


_OUR_ID, _THEIR_ID = REQUEST_ID_HEADER.lower().encode(), b"request-id"


def _with_their_id(headers: Any) -> list[tuple[bytes, bytes]]:
    return [*headers, *((_THEIR_ID, value) for name, value in headers if name == _OUR_ID)]


def _said(content: bytes) -> tuple[str, str | None]:
    """Message and field of an error in OpenAI's or Anthropic's shape; empty if it is in neither."""
    try:
        error = json.loads(content)["error"]
        message, param = error["message"], error.get("param")
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return "", None
    return str(message), param if isinstance(param, str) else None


def _anthropic(status: int, message: str, this_id: str | None) -> bytes:
    kind = _ANTHROPIC_KINDS.get(status, "invalid_request_error" if status < 500 else "api_error")
    error = {"type": kind, "message": message or f"status {status}"}
    return _json({"type": "error", "error": error, "request_id": this_id})


def _json(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()
