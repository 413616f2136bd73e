"""Metrics of the requests to the policy, by role."""

from __future__ import annotations

import contextlib
import time
from asyncio import CancelledError
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import get_args

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from galen.errors import Overloaded
from galen.keys import Caller, Role

FIRST_BYTE_BUCKETS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
WAIT_BUCKETS = (0.001, 0.01, 0.1, 0.5, 1, 5, 30, 120)


class RequestMetrics:
    def __init__(self, registry: CollectorRegistry) -> None:
        self.waiting = Gauge(
            "galen_server_requests_waiting",
            "Requests that wait for their turn or for a version to be loaded",
            ["role"],
            registry=registry,
        )
        self.in_flight = Gauge(
            "galen_server_requests_in_flight",
            "Requests that are not answered to their end yet, waiting ones included",
            ["role"],
            registry=registry,
        )
        self.waited_s = Histogram(
            "galen_server_request_wait_seconds",
            "Seconds that a request waited before it went to an engine",
            ["role"],
            registry=registry,
            buckets=WAIT_BUCKETS,
        )
        self.first_byte_s = Histogram(
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
        for role in get_args(Role):  # so that the first event shows as an increase
            self._cancelled.labels(role)
            self._refused.labels(role)

    @contextlib.contextmanager
    def watch(self, route: str, role: Role) -> Iterator[Watch]:
        """Watch one request, around all the work for it. Its exception shows how it ended."""
        watch = Watch(self, route, role)
        self.in_flight.labels(role).inc()
        self.waiting.labels(role).inc()
        try:
            yield watch
        except CancelledError:
            self._cancelled.labels(role).inc()
            raise
        except Overloaded:
            self._refused.labels(role).inc()
            raise
        finally:
            if watch.is_waiting:
                self.waiting.labels(role).dec()
            self.in_flight.labels(role).dec()

    def refused(self, caller: Caller) -> None:
        """Count a request that its key's own limits refused, before there was one to watch."""
        self._refused.labels(caller.role).inc()


@dataclass(slots=True)
class Watch:
    """One request from its arrival on."""

    metrics: RequestMetrics
    route: str
    role: Role
    is_waiting: bool = True
    _has_begun_answer: bool = False
    _began: float = field(default_factory=time.perf_counter)

    def admitted(self) -> None:
        """The wait is over and the request goes to an engine. Only the first call counts."""
        if self.is_waiting:
            self.is_waiting = False
            self.metrics.waiting.labels(self.role).dec()
            self.metrics.waited_s.labels(self.role).observe(time.perf_counter() - self._began)

    def first_byte(self, *, is_stream: bool) -> None:
        """The answer begins. Only the first call counts."""
        if not self._has_begun_answer:
            self._has_begun_answer = True
            series = self.metrics.first_byte_s.labels(self.route, self.role, str(is_stream).lower())
            series.observe(time.perf_counter() - self._began)
