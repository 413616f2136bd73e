"""What both services put around their routes: request ids, limits, one shape of error.

Only services import this module, since it loads FastAPI.
"""

from __future__ import annotations

import asyncio
import logging
import math
import re
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from types import MappingProxyType

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from prometheus_client import CollectorRegistry
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from galen.errors import (
    Forbidden,
    GalenError,
    InvalidInput,
    MalformedJson,
    NotFound,
    PayloadTooLarge,
    Unavailable,
    UnsupportedMedia,
)
from galen.http_metrics import HttpMetrics
from galen.key_limits import LEFT_IN_SCOPE
from galen.local import refuse_elsewhere
from galen.plain_words import in_json
from galen.telemetry import (
    REQUEST_ID_HEADER,
    accept_request_id,
    accept_trace,
    request_id,
    trace_headers,
)

log = logging.getLogger(__name__)

DEFAULT_BODY_LIMIT = 8 * 1024 * 1024
_ID_IN_SCOPE = "galen.request_id"
_FIELD = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_LENGTH = re.compile(rb"[0-9]{1,18}")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_NO_ROUTE = "no such route; /docs lists them"
_SHOWN_TO_PAGES = (
    REQUEST_ID_HEADER,
    "X-Policy-Version",
    "Retry-After",
    *(f"X-RateLimit-{part}-Requests" for part in ("Limit", "Remaining", "Reset")),
)
CLIENT_CLOSED = 499
"""Status, for the metrics alone, of an answer that nobody waits for any more."""


def error_response(error: GalenError) -> JSONResponse:
    headers = {}
    if error.retry_after_s is not None:
        headers["Retry-After"] = str(max(1, math.ceil(error.retry_after_s)))
    if error.status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    return JSONResponse(error.body(), status_code=error.status, headers=headers)


def install_error_handlers(app: FastAPI) -> None:
    """Render every error in OpenAI's shape, naming the field but never echoing its value."""

    async def on_galen_error(_: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, GalenError)
        return error_response(error)

    async def on_validation(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, RequestValidationError)
        first = error.errors()[0]
        where = ".".join(_shown(part) for part in first["loc"][1:])  # the first is its source
        if first["type"] == "json_invalid":
            reason = first.get("ctx", {}).get("error", "invalid")
            return error_response(MalformedJson(f"the body is not valid JSON: {reason}"))
        if first["loc"] == ("body",) and not _is_json(request):
            message = "send JSON, with the header 'Content-Type: application/json'"
            return error_response(UnsupportedMedia(message))
        return error_response(
            InvalidInput(f"{where or 'body'}: {in_json(first)}", param=where or None)
        )

    async def on_http(_: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, HTTPException)
        if isinstance(error.__cause__, GalenError):  # FastAPI wraps what reading the body raised
            return error_response(error.__cause__)
        if isinstance(error.__cause__, RecursionError | ValueError):
            reason = "nested too deeply, not UTF-8, or a number of thousands of digits"
            return error_response(MalformedJson(f"the body cannot be read as JSON: {reason}"))
        code = {404: "not_found", 405: "method_not_allowed"}.get(error.status_code, "http_error")
        body = {
            "message": _of_routing(error),
            "type": "invalid_request_error",
            "param": None,
            "code": code,
        }
        return JSONResponse({"error": body}, status_code=error.status_code, headers=error.headers)

    async def on_leave(_: Request, error: Exception) -> Response:
        return Response(status_code=CLIENT_CLOSED)

    async def on_bug(request: Request, error: Exception) -> JSONResponse:
        answer = error_response(GalenError("internal error; the service's log has the details"))
        if this_id := request.scope.get(_ID_IN_SCOPE):  # answered outside the shell, which stamps
            answer.headers[REQUEST_ID_HEADER] = this_id
        return answer

    app.add_exception_handler(GalenError, on_galen_error)
    app.add_exception_handler(RequestValidationError, on_validation)
    app.add_exception_handler(HTTPException, on_http)
    app.add_exception_handler(ClientDisconnect, on_leave)
    app.add_exception_handler(Exception, on_bug)


def _shown(part: str | int) -> str:
    """Part of a field's place. A name that a caller made up is shown only if it looks like one."""
    text = str(part)
    return text if _FIELD.fullmatch(text) else "(unknown)"


def _of_routing(error: HTTPException) -> str:
    if error.status_code == 405 and (allowed := (error.headers or {}).get("Allow")):
        return f"this route takes {allowed} only; /docs lists the routes"
    if error.status_code == 404 and error.detail == "Not Found":
        return _NO_ROUTE
    return error.detail


def _is_json(request: Request) -> bool:
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    return kind == "application/json" or kind.endswith("+json")


class ServiceShell:
    """ASGI middleware: request id and trace, limits, metrics, one log line.

    Written against ASGI itself, so that streams pass untouched and a hang-up reaches the route.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        metrics: HttpMetrics,
        body_limit: int,
        own_limits: Mapping[str, int],
        local_only: bool,
        origins: Sequence[str],
    ) -> None:
        self._app = app
        self._metrics = metrics
        self._body_limit = body_limit
        self._own_limits = own_limits
        self._local_only = local_only
        self._origins = origins

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        method, headers = scope["method"], dict(scope["headers"])
        if method == "HEAD":  # uvicorn, which keeps the scope as it was, sends no body
            scope = {**scope, "method": "GET"}
        if scope["http_version"] == "1.0":
            send = _Whole(send)
        given_id, parent, state = (
            headers.get(name, b"").decode("latin-1")
            for name in (b"x-request-id", b"traceparent", b"tracestate")
        )
        this_id = scope[_ID_IN_SCOPE] = accept_request_id(given_id)
        tokens = request_id.set(this_id), trace_headers.set(accept_trace(parent, state))
        started, status, has_begun = time.perf_counter(), 500, False

        async def send_stamped(message: Message) -> None:
            nonlocal status, has_begun
            if message["type"] == "http.response.start":
                status, has_begun = message["status"], True
                stamp = (REQUEST_ID_HEADER.lower().encode(), this_id.encode())
                left = scope.get(LEFT_IN_SCOPE, ())
                message["headers"] = [*message.get("headers", ()), stamp, *left]
            await send(message)

        try:
            limit = self._own_limits.get(scope["path"], self._body_limit)
            if refusal := self._refusal(scope, headers, limit):
                await error_response(refusal)(scope, receive, send_stamped)
                return
            await self._app(scope, _limited(receive, limit), send_stamped)
        except asyncio.CancelledError:
            # Nothing cancels a request but the service's own end, when its time is up.
            if not has_begun:
                await error_response(_stopping())(scope, receive, send_stamped)
        finally:
            route = getattr(scope.get("route"), "path", "unmatched")
            seconds = time.perf_counter() - started
            self._metrics.add(route, method, status, seconds)
            level = logging.DEBUG if route in ("/metrics", "/healthz", "/readyz") else logging.INFO
            log.log(level, "request", extra={"route": route, "status": status, "seconds": seconds})
            request_id.reset(tokens[0])
            trace_headers.reset(tokens[1])

    def _refusal(
        self, scope: Scope, headers: Mapping[bytes, bytes], limit: int
    ) -> GalenError | None:
        """Why a request is turned away by its head alone, if so."""
        if _CONTROL.search(scope["path"]):  # A pattern's `$` matches before a last line break, too.
            return NotFound(_NO_ROUTE)
        length = headers.get(b"content-length", b"0")
        if not _LENGTH.fullmatch(length) or int(length) > limit:
            return _too_large(limit)
        if headers.get(b"content-encoding", b"identity").lower() != b"identity":
            return UnsupportedMedia("send the body as it is, without a Content-Encoding")
        if self._local_only:
            try:
                refuse_elsewhere(scope["headers"], self._origins)
            except Forbidden as refusal:
                return refusal
        return None


class _Whole:
    """`send` for clients of HTTP/1.0, which know no chunks: an answer of unknown length is gathered
    and sent with its length."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._start: Message | None = None
        self._body = bytearray()

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            if all(name.lower() != b"content-length" for name, _ in message["headers"]):
                self._start = message
                return
        elif self._start:
            self._body += message.get("body", b"")
            if message.get("more_body"):
                return
            length = (b"content-length", b"%d" % len(self._body))
            await self._send({**self._start, "headers": [*self._start["headers"], length]})
            message = {"type": "http.response.body", "body": bytes(self._body)}
        await self._send(message)


def _stopping() -> Unavailable:
    return Unavailable("the service is being stopped; try again shortly", retry_after_s=5)


def _too_large(limit: int) -> PayloadTooLarge:
    return PayloadTooLarge(f"the body is larger than {limit:,} bytes; send less in one request")


def _limited(receive: Receive, limit: int) -> Callable[[], Awaitable[Message]]:
    """`receive` that refuses a chunked body once it has grown past the limit."""
    seen = 0

    async def limited() -> Message:
        nonlocal seen
        message = await receive()
        seen += len(message.get("body", b""))
        if seen > limit:
            raise _too_large(limit)
        return message

    return limited


def wrap(
    app: FastAPI,
    service: str,
    registry: CollectorRegistry,
    body_limit: int,
    own_limits: Mapping[str, int] = MappingProxyType({}),
    *,
    local_only: bool = False,
    origins: Sequence[str] = (),
) -> None:
    """Give a service its shell and its error handlers.

    Limits are in bytes; `own_limits` are those of paths that have one of their own. `local_only` is
    for a service without keys: it answers no page of another machine. `origins` are those of the
    pages elsewhere that may call the service from a browser.
    """
    install_error_handlers(app)
    app.add_middleware(
        ServiceShell,
        metrics=HttpMetrics(service, registry),
        body_limit=body_limit,
        own_limits=own_limits,
        local_only=local_only,
        origins=origins,
    )
    if origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=origins,
            allow_methods=("GET", "POST", "DELETE"),
            allow_headers=("*",),
            expose_headers=_SHOWN_TO_PAGES,
        )
