"""What becomes of the requests to the policy, by who asks: people and rollouts."""

from __future__ import annotations

import time
from asyncio import CancelledError
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from galen.errors import Overloaded
from galen.keys import Caller, Role

FIRST_BYTE_BUCKETS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
WAIT_BUCKETS = (0.001, 0.01, 0.1, 0.5, 1, 5, 30, 120)


@dataclass(frozen=True, slots=True)
class _Series:
    """The series of one route and role."""

    waiting: Gauge
    in_flight: Gauge
    waited_s: Histogram
    first_byte_s: dict[bool, Histogram]
    """By whether the answer is streamed."""
    cancelled: Counter
    refused: Counter


class RequestMetrics:
    def __init__(self, registry: CollectorRegistry) -> None:
        self._waiting = Gauge(
            "galen_server_requests_waiting",
            "Requests that wait for their turn or for a version to be loaded",
            ["role"],
            registry=registry,
        )
        self._in_flight = Gauge(
            "galen_server_requests_in_flight",
            "Requests that are not answered to their end yet, waiting ones included",
            ["role"],
            registry=registry,
        )
        self._waited = Histogram(
            "galen_server_request_wait_seconds",
            "Seconds that a request waited before it went to an engine",
            ["role"],
            registry=registry,
            buckets=WAIT_BUCKETS,
        )
        self._first_byte = Histogram(
            "galen_server_first_byte_seconds",
            "Seconds from a request's arrival to its answer's first byte: of a stream the first "
            "event, else the whole answer",
            ["route", "role", "stream"],
            registry=registry,
            buckets=FIRST_BYTE_BUCKETS,
        )
        self._cancelled = Counter(
            "galen_server_requests_cancelled",
            "Requests whose client hung up before the answer's end",
            ["role"],
            registry=registry,
        )
        self._refused = Counter(
            "galen_server_requests_refused",
            "Requests answered with 429 because of a limit",
            ["role"],
            registry=registry,
        )
        self._series: dict[tuple[str, Role], _Series] = {}
        """Looked up once: finding a series by its labels costs more than adding to it."""

    def watch(self, route: str, role: Role) -> Watch:
        """Watch one request; to be used as a context, around all that is done for it."""
        series = self._series.get((route, role))
        if series is None:
            series = self._series[route, role] = self._made(route, role)
        return Watch(series)

    def refused(self, caller: Caller) -> None:
        """Count a request that its key's own limits refused, before there was one to watch."""
        self._refused.labels(caller.role).inc()

    def _made(self, route: str, role: Role) -> _Series:
        return _Series(
            waiting=self._waiting.labels(role),
            in_flight=self._in_flight.labels(role),
            waited_s=self._waited.labels(role),
            first_byte_s={
                is_stream: self._first_byte.labels(route, role, str(is_stream).lower())
                for is_stream in (True, False)
            },
            cancelled=self._cancelled.labels(role),
            refused=self._refused.labels(role),
        )


class Watch:
    """One request from its arrival on. How it ended is read off the exception, if there is one."""

    __slots__ = ("_began", "_has_begun_answer", "_is_waiting", "_series")

    def __init__(self, series: _Series) -> None:
        self._series = series
        self._began = time.perf_counter()
        self._is_waiting = True
        self._has_begun_answer = False

    def __enter__(self) -> Self:
        self._series.in_flight.inc()
        self._series.waiting.inc()
        return self

    def admitted(self) -> None:
        """Its waiting is over: it goes to an engine. Told again, as after a lost engine, nothing
        is counted again."""
        if self._is_waiting:
            self._is_waiting = False
            self._series.waiting.dec()
            self._series.waited_s.observe(time.perf_counter() - self._began)

    def first_byte(self, *, is_stream: bool) -> None:
        """Its answer begins; only the first call counts."""
        if not self._has_begun_answer:
            self._has_begun_answer = True
            self._series.first_byte_s[is_stream].observe(time.perf_counter() - self._began)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._is_waiting:
            self._series.waiting.dec()
        self._series.in_flight.dec()
        if isinstance(error, CancelledError):
            self._series.cancelled.inc()
        elif isinstance(error, Overloaded):
            self._series.refused.inc()
