"""How the services listen and are served. Only services import this module: it loads uvicorn."""

from __future__ import annotations

import errno
import resource
import socket
import sys
from typing import Any

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from galen.errors import Conflict, InvalidInput

MOST_CONNECTIONS = 4096
"""Beyond this many at once, or a third of the files that the process may open, a request gets 503.
A request may need three: its client's connection, the engine's, and a file on disk."""
MOST_HEAD_BYTES = 64 * 1024
_KEEP_ALIVE_S = 30
"""Clients close an idle connection after five seconds. They must do so first: if the service did,
the client might be sending its next request."""
_MOST_FILES = 65_536


class Http11(HttpToolsProtocol):
    """uvicorn's HTTP/1.1 with two faults mended.

    uvicorn drops the body of a request that offers to go on in HTTP/2, as Java's client does by
    default. Here its head is read again without the offer. And uvicorn keeps a head, or trailers,
    of any length in memory. Here a client that sends more than `MOST_HEAD_BYTES` of it is refused.
    """

    _received = b""
    _unparsed = 0
    """Bytes received since the parser last completed a head, a piece of a body or a request."""

    def data_received(self, data: bytes) -> None:
        self._received = data
        self._unparsed += len(data)
        super().data_received(data)
        self._received = b""
        if self._unparsed > MOST_HEAD_BYTES and not self.transport.is_closing():
            self.send_400_response("The request's line and headers are too long.")

    def on_headers_complete(self) -> None:
        self._unparsed = 0
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        self._unparsed = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._unparsed = 0
        super().on_message_complete()

    def _should_upgrade(self) -> bool:
        return any(name == b"upgrade" for name, _ in self.headers)

    def handle_websocket_upgrade(self) -> None:
        """Called by uvicorn with the head of a request for which `_should_upgrade` is true."""
        stopped = sys.exception()
        assert stopped is not None  # the parser's exception says at which byte it stopped
        rest = self._received[stopped.args[0] :]
        kept = [b"%s: %s\r\n" % header for header in self.headers if header[0] != b"upgrade"]
        line = b"%s %s HTTP/1.1\r\n" % (self.scope["method"].encode(), self.url)
        super().data_received(b"".join([line, *kept, b"\r\n", rest]))


def uvicorn_config(app: Any, *, shutdown_s: int) -> uvicorn.Config:
    """How services are served. `shutdown_s` is the time that answers under way have to end.

    It lets the process open as many files as the system allows, since many start with 1,024.
    How slowly a hostile network may send and read is for the proxy in front to bound.
    """
    return uvicorn.Config(
        app,
        http=Http11,
        ws="none",
        log_config=None,
        access_log=False,
        server_header=False,
        limit_concurrency=min(MOST_CONNECTIONS, _open_files() // 3),
        timeout_keep_alive=_KEEP_ALIVE_S,
        timeout_graceful_shutdown=shutdown_s,
    )


def _open_files() -> int:
    """How many files this process may open, after asking for more."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = _MOST_FILES if hard == resource.RLIM_INFINITY else min(hard, _MOST_FILES)
    if soft == resource.RLIM_INFINITY or soft >= most:
        return most
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
    return most


def listen(host: str, port: int) -> socket.socket:
    """A socket listening at this address, so that a port in use is noticed before anything loads.

    `Conflict` if the port is taken, `InvalidInput` for an address that this machine lacks.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # Only with IPPROTO_TCP does asyncio send small pieces at once, instead of 40 ms later.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen(2048)
    except OSError as error:
        listener.close()
        if error.errno == errno.EADDRINUSE:
            message = f"port {port} on {host} is taken; stop what uses it or choose another port"
            raise Conflict(message, param="port") from None
        message = f"cannot listen on {host}:{port} ({error.strerror}); choose another host or port"
        raise InvalidInput(message, param="host") from None
    return listener
