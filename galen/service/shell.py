"""What both services put around their routes: request ids, limits, metrics, one log line."""

from __future__ import annotations

import asyncio
import logging
import re
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from types import MappingProxyType

from fastapi import FastAPI
from prometheus_client import CollectorRegistry, Counter, Histogram
from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from galen.errors import (
    GalenError,
    NotFound,
    PayloadTooLarge,
    Unavailable,
    UnsupportedMedia,
)
from galen.service.key_limits import LEFT_IN_SCOPE
from galen.service.local import refuse_elsewhere
from galen.service.web import ID_IN_SCOPE, NO_ROUTE, error_response, install_error_handlers
from galen.telemetry import (
    REQUEST_ID_HEADER,
    accept_request_id,
    accept_trace,
    request_id,
    trace_headers,
)

log = logging.getLogger(__name__)

DEFAULT_BODY_LIMIT = 8 * 1024 * 1024
_LENGTH = re.compile(rb"[0-9]{1,18}")
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_SHOWN_TO_PAGES = (
    REQUEST_ID_HEADER,
    "X-Policy-Version",
    "Retry-After",
    *(f"X-RateLimit-{part}-Requests" for part in ("Limit", "Remaining", "Reset")),
)


class _HttpMetrics:
    """Counts and times every request, by route template, method and status."""

    def __init__(self, service: str, registry: CollectorRegistry) -> None:
        self._requests = Counter(
            f"galen_{service}_http_requests",
            "HTTP requests answered",
            ["route", "method", "status"],
            registry=registry,
        )
        self._seconds = Histogram(
            f"galen_{service}_http_request_seconds",
            "Seconds from a request's first byte to its answer's last",
            ["route"],
            registry=registry,
            buckets=(0.001, 0.005, 0.02, 0.1, 0.5, 2, 10, 60),
        )

    def add(self, route: str, method: str, status: int, seconds: float) -> None:
        """Count one request. Methods that no route has share one label, since a client can invent
        any number of them."""
        known = method if method in _METHODS else "other"
        self._requests.labels(route, known, str(status)).inc()
        self._seconds.labels(route).observe(seconds)


class ServiceShell:
    """ASGI middleware: request id and trace, limits, metrics, one log line.

    Written against ASGI itself, so that streams pass untouched and a hang-up reaches the route.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        metrics: _HttpMetrics,
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
        this_id = scope[ID_IN_SCOPE] = accept_request_id(given_id)
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
            self._refuse(scope, headers, limit)
            await self._app(scope, _limited(receive, limit), send_stamped)
        except GalenError as refusal:  # not a route's, which is answered further in
            await error_response(refusal)(scope, receive, send_stamped)
        except asyncio.CancelledError:
            # Only a service that has to end, with no time left, cancels a request.
            if not has_begun:
                stopping = Unavailable("the service is being stopped; try again", retry_after_s=5)
                await error_response(stopping)(scope, receive, send_stamped)
        finally:
            self._note(scope, method, status, time.perf_counter() - started)
            request_id.reset(tokens[0])
            trace_headers.reset(tokens[1])

    def _refuse(self, scope: Scope, headers: Mapping[bytes, bytes], limit: int) -> None:
        """Raises `GalenError` for a request that is refused for its head alone."""
        if _CONTROL.search(scope["path"]):  # A pattern's `$` matches before a last line break, too.
            raise NotFound(NO_ROUTE)
        length = headers.get(b"content-length", b"0")
        if not _LENGTH.fullmatch(length) or int(length) > limit:
            raise _too_large(limit)
        if headers.get(b"content-encoding", b"identity").lower() != b"identity":
            raise UnsupportedMedia("send the body as it is, without a Content-Encoding")
        if self._local_only:
            refuse_elsewhere(scope["headers"], self._origins)

    def _note(self, scope: Scope, method: str, status: int, seconds: float) -> None:
        route = getattr(scope.get("route"), "path", "unmatched")
        self._metrics.add(route, method, status, seconds)
        level = logging.DEBUG if route in ("/metrics", "/healthz", "/readyz") else logging.INFO
        log.log(level, "request", extra={"route": route, "status": status, "seconds": seconds})


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

    Limits are in bytes; `own_limits` replace `body_limit` for single paths. `local_only` is for a
    service without keys: it answers no page of another machine. `origins` are the exceptions: pages
    elsewhere that may call the service from a browser.
    """
    install_error_handlers(app)
    app.add_middleware(
        ServiceShell,
        metrics=_HttpMetrics(service, registry),
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
