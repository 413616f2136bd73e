"""How much, and how slowly, a client may send before a request is understood.

uvicorn's parser sets no bound of its own to a head, to the requests that wait in one connection, or
to the time that a client takes. Only services import this module, since it loads uvicorn.
"""

from __future__ import annotations

import asyncio
import json
import re
from dataclasses import dataclass
from typing import Any, ClassVar

import uvicorn
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from galen.errors import GalenError, HeadTooLarge, MalformedHttp, TooSlow, Unavailable

_OFFER = re.compile(rb"\r\nupgrade:", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class WireLimits:
    head_bytes: int = 64 * 1024
    """Of request line and headers together."""
    headers: int = 100
    patience_s: float = 15.0
    """In this time a head must be whole, and a body must have grown by `least_bytes`."""
    least_bytes: int = 64 * 1024
    linger_s: float = 2.0
    """How long the rest of a body is still read when the answer is already written."""
    pipelined: int = 8
    """Requests that wait in one connection for the answer to the first."""
    connections: int = 4096
    deaf_s: float = 300.0
    """How long a client may take nothing of an answer; it holds its place among the others."""


class WireProtocol(HttpToolsProtocol):
    """uvicorn's HTTP/1.1, bounded. What is beyond a bound is answered once, and hung up on.

    A request that arrives whole starts no timer, so the ordinary one costs next to nothing.
    """

    limits: ClassVar[WireLimits] = WireLimits()

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._refusal: GalenError | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._reader_timer: asyncio.TimerHandle | None = None
        self._in_head = True
        self._in_message = False
        self._header_count = 0
        self._loose_bytes = 0
        """Received since the parser last made something of what it got."""
        self._grown_bytes = 0
        """Received since the timer was started."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if len(self.connections) > self.limits.connections:
            busy = Unavailable("too many connections; try again shortly", retry_after_s=1)
            self._refuse(busy)
        else:
            self._start_timer()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_timer()
        self._stop_reader_timer()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        """More of the answer waits for the client than is kept for it."""
        super().pause_writing()
        self._watch_reader()

    def resume_writing(self) -> None:
        self._stop_reader_timer()
        super().resume_writing()

    def data_received(self, data: bytes) -> None:
        self._loose_bytes += len(data)
        self._grown_bytes += len(data)
        super().data_received(data if self._in_message else _without_offer(data))
        if self.transport.is_closing():
            self._stop_timer()
        elif self._loose_bytes > self.limits.head_bytes:
            self._refuse(self._head_too_large())
        elif self._in_message or self.cycle is None or self.cycle.response_complete:
            if self._timer is None:  # there is nothing to do but wait for the client
                self._start_timer()
        elif self._timer is not None:
            self._stop_timer()

    def on_message_begin(self) -> None:
        self._in_head = self._in_message = True
        self._loose_bytes = 0
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        self._in_head = False
        self._loose_bytes = 0
        headers = self.headers
        self._header_count = len(headers)
        size = len(self.url) + sum([len(name) + len(value) for name, value in headers])
        if size > self.limits.head_bytes or self._header_count > self.limits.headers:
            raise self._because(self._head_too_large())
        if [name for name, _ in headers].count(b"host") > 1:
            # Whose page the request is of is told by its host, and there is no saying which counts.
            raise self._because(MalformedHttp("a request has one Host header"))
        if len(self.pipeline) >= self.limits.pipelined:
            raise self._because(MalformedHttp("too many requests sent ahead of their answers"))
        if self._timer is not None:
            self._start_timer()
        super().on_headers_complete()

    def on_chunk_header(self) -> None:
        """The parser has read how long the next chunk is."""
        self._loose_bytes = 0

    def on_body(self, body: bytes) -> None:
        self._loose_bytes = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._in_message = False
        self._loose_bytes = 0
        if len(self.headers) > self._header_count:
            raise self._because(MalformedHttp("trailers after a body are not taken"))
        super().on_message_complete()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self._in_message and not self.transport.is_closing():
            self.loop.call_later(self.limits.linger_s, self._close_if_answered, self.cycle)

    def send_400_response(self, msg: str) -> None:
        """What uvicorn says to anything that its parser refuses."""
        self._refuse(self._refusal or MalformedHttp("this is no HTTP/1.1 request"))

    def _unsupported_upgrade_warning(self) -> None:
        """Nothing: see `_without_offer`."""

    def _because(self, refusal: GalenError) -> GalenError:
        """Kept for the answer: the parser tells only that a callback has failed."""
        self._refusal = refusal
        return refusal

    def _head_too_large(self) -> GalenError:
        most = self.limits
        return HeadTooLarge(
            f"the request's line and headers are more than {most.head_bytes:,} bytes or "
            f"{most.headers} headers"
        )

    def _start_timer(self) -> None:
        self._stop_timer()
        self._grown_bytes = 0
        self._timer = self.loop.call_later(self.limits.patience_s, self._judge_pace)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _watch_reader(self) -> None:
        self._stop_reader_timer()
        left = self.transport.get_write_buffer_size()
        self._reader_timer = self.loop.call_later(self.limits.deaf_s, self._judge_reader, left)

    def _stop_reader_timer(self) -> None:
        if self._reader_timer is not None:
            self._reader_timer.cancel()
            self._reader_timer = None

    def _judge_reader(self, left_before: int) -> None:
        if self.transport.get_write_buffer_size() < left_before:  # slow, but it reads
            self._watch_reader()
        else:
            self.transport.abort()

    def _judge_pace(self) -> None:
        in_body = self._in_message and not self._in_head
        steady = in_body and self._grown_bytes >= self.limits.least_bytes
        if steady or self.flow.read_paused:  # it is this side that does not read
            self._start_timer()
        elif not self._in_message:
            self.transport.close()  # connected, and never said a word
        else:
            self._refuse(TooSlow("the request did not arrive in time; send it again"))

    def _close_if_answered(self, cycle: Any) -> None:
        if self.cycle is cycle and self._in_message:
            self.transport.close()

    def _refuse(self, error: GalenError) -> None:
        """Answer, unless an answer to an earlier request is being written, and hang up."""
        self._stop_timer()
        if self.transport.is_closing():
            return
        if self.cycle is None or self.cycle.response_complete or not self.cycle.response_started:
            self.transport.write(_raw(error))
        self.transport.close()


def wire_config(app: Any, *, shutdown_s: int) -> uvicorn.Config:
    """How both services are served. `shutdown_s` is the time that answers under way have to end."""
    return uvicorn.Config(
        app,
        http=WireProtocol,
        ws="none",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=shutdown_s,
    )


def _without_offer(data: bytes) -> bytes:
    """The beginning of a request without its offer to go on in HTTP/2 or as a WebSocket.

    A client that offers it, as Java's does with every request, is served without, as it expects.
    The parser would take what follows such a head for the other protocol and drop the body.
    """
    head, end, rest = data.partition(b"\r\n\r\n")
    if not _OFFER.search(head):
        return data
    return _OFFER.sub(b"\r\nx-offer:", head) + end + rest


def _raw(error: GalenError) -> bytes:
    body = json.dumps(error.body()).encode()
    headers = [b"content-type: application/json", b"connection: close"]
    headers.append(b"content-length: %d" % len(body))
    if error.retry_after_s is not None:
        headers.append(b"retry-after: %d" % max(1, round(error.retry_after_s)))
    return STATUS_LINE[error.status] + b"\r\n".join([*headers, b"", body])
