"""A cheap load generator: raw sockets, one process, uvloop.

Each connection sends its next request as soon as its last answer is complete (a closed loop), so
the number of connections is the number of clients.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self, cast

import uvloop

Address = int | Path
"""A port on this machine, or a Unix socket."""


@dataclass
class Load:
    """The results of one round. Latencies are in seconds, in order of arrival."""

    seconds: float = 0.0
    statuses: Counter[int] = field(default_factory=Counter)
    latencies_s: list[float] = field(default_factory=list)
    firsts_s: list[float] = field(default_factory=list)
    """Times to the first byte of the body; in a stream, its first token."""
    lost: int = 0
    """Connections that ended before their answer was complete."""

    def add(self, other: Load) -> None:
        """Add another round's results."""
        self.seconds += other.seconds
        self.statuses += other.statuses
        self.latencies_s += other.latencies_s
        self.firsts_s += other.firsts_s
        self.lost += other.lost

    def checked(self) -> Self:
        """Returns itself; ends the script if any answer was lost or not a 200."""
        if set(self.statuses) != {200} or self.lost:
            raise SystemExit(f"not every answer was a 200: {self.statuses}, {self.lost} lost")
        return self

    @property
    def per_second(self) -> float:
        return sum(self.statuses.values()) / self.seconds

    def percentile_ms(self, share: float) -> float:
        """The latency at a share in [0, 1], in milliseconds."""
        ordered = sorted(self.latencies_s)
        return 1000 * ordered[min(int(share * len(ordered)), len(ordered) - 1)]


def post(path: str, body: bytes, headers: Sequence[str] = ()) -> bytes:
    """The bytes of a POST request."""
    lines = [
        f"POST {path} HTTP/1.1",
        "Host: localhost",
        "Content-Type: application/json",
        f"Content-Length: {len(body)}",
        *headers,
        "",
        "",
    ]
    return "\r\n".join(lines).encode() + body


def _content_length(head: bytes) -> int | None:
    """None for a stream, which is chunked. Both services and vLLM write header names in lower
    case."""
    _, named, after = head.partition(b"content-length: ")
    return int(after.split(b"\r\n", 1)[0]) if named else None


class _Connection(asyncio.Protocol):
    """One client: it sends requests until they run out or the round is over."""

    def __init__(self, load: Load, requests: Iterator[bytes], is_over: Callable[[], bool]) -> None:
        self._load = load
        self._requests = requests
        self._is_over = is_over
        self._head = b""
        self._body = bytearray()
        self._length: int | None = 0
        self._first_is_due = False
        self._waiting = False
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's class is no subclass of it
        self._ask()

    def data_received(self, data: bytes) -> None:
        self._body += data
        if not self._head and not self._take_head():
            return
        if self._body and self._first_is_due:
            self._load.firsts_s.append(time.perf_counter() - self._asked_at)
            self._first_is_due = False
        if self._is_whole():
            self._load.latencies_s.append(time.perf_counter() - self._asked_at)
            self._load.statuses[int(self._head[9:12])] += 1
            self._head, self._body, self._waiting = b"", bytearray(), False
            self._ask()

    def _take_head(self) -> bool:
        """Parse the head if it is complete; returns whether it is."""
        head, end, rest = self._body.partition(b"\r\n\r\n")
        if end:
            self._head, self._body = bytes(head), rest
            self._length = _content_length(self._head)
            self._first_is_due = True
        return bool(end)

    def _is_whole(self) -> bool:
        if self._length is None:
            return self._body.endswith(b"0\r\n\r\n")
        return len(self._body) >= self._length

    def connection_lost(self, error: Exception | None) -> None:
        if self._waiting:
            self._load.lost += 1
        if not self.done.done():
            self.done.set_result(None)

    def _ask(self) -> None:
        request = None if self._is_over() else next(self._requests, None)
        if request is None:
            self._transport.close()
            return
        self._waiting = True
        self._asked_at = time.perf_counter()
        self._transport.write(request)


def run(
    address: Address, requests: Iterator[bytes], *, clients: int, seconds: float = float("inf")
) -> Load:
    """Send `requests` from `clients` connections at once, until they or the time run out."""
    return uvloop.run(_run(address, requests, clients, seconds))


async def _run(address: Address, requests: Iterator[bytes], clients: int, seconds: float) -> Load:
    load = Load()
    loop = asyncio.get_running_loop()
    started = time.perf_counter()

    def is_over() -> bool:
        return time.perf_counter() - started > seconds

    async def open_one() -> _Connection:
        connection = _Connection(load, requests, is_over)
        if isinstance(address, Path):
            await loop.create_unix_connection(lambda: connection, str(address))
        else:
            await loop.create_connection(lambda: connection, "127.0.0.1", address)
        return connection

    opened = await asyncio.gather(*(open_one() for _ in range(clients)))
    await asyncio.gather(*(connection.done for connection in opened))
    load.seconds = time.perf_counter() - started
    return load
