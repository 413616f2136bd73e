"""Metrics of the engines and of the version that serves."""

from __future__ import annotations

import contextlib
import functools
import logging
import time
from collections.abc import Callable, Iterator

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from galen.errors import GalenError, VersionRefused
from server.policy.pool import Pool
from server.policy.replica import Replica

log = logging.getLogger(__name__)


def watch_engines(pool: Pool, registry: CollectorRegistry) -> None:
    """Read each engine's condition whenever the metrics are scraped."""
    gauges: tuple[tuple[str, str, Callable[[Replica], float]], ...] = (
        ("ready", "1 while the engine can be used", lambda each: float(each.is_ready())),
        ("restarts", "Restarts since the gateway began", lambda each: each.engine.restarts),
        ("outstanding", "Requests that the engine has now", lambda each: each.outstanding),
    )
    for name, meaning, read in gauges:
        gauge = Gauge(f"galen_server_engine_{name}", meaning, ["engine"], registry=registry)
        for replica in pool.replicas:
            gauge.labels(replica.label).set_function(functools.partial(read, replica))


class PolicyMetrics:
    def __init__(self, registry: CollectorRegistry) -> None:
        self._current = Gauge(
            "galen_server_policy_current", "1 for the version that serves", ["version"],
            registry=registry,
        )  # fmt: skip
        self._loads = Counter(
            "galen_server_version_loads",
            "Versions loaded or refused",
            ["outcome"],
            registry=registry,
        )
        for outcome in ("ok", VersionRefused.code):
            self._loads.labels(outcome)  # so that the first refusal shows as an increase
        self.parity = Gauge(
            "galen_server_parity_nats",
            "Mean absolute log-probability difference of the last version loaded",
            registry=registry,
        )
        self._seconds = Histogram(
            "galen_server_version_load_seconds",
            "Seconds to load, probe and activate a version",
            registry=registry,
            buckets=(0.05, 0.1, 0.2, 0.5, 1, 2, 5, 20, 60),
        )

    @contextlib.contextmanager
    def loading(self, version: str) -> Iterator[None]:
        """Count, time and log the loading of a version."""
        began = time.perf_counter()
        try:
            yield
        except GalenError as error:
            self._loads.labels(error.code).inc()
            log.error("version refused", extra={"version": version, "reason": error.message})
            raise
        seconds = time.perf_counter() - began
        self._loads.labels("ok").inc()
        self._seconds.observe(seconds)
        log.info("version loaded", extra={"version": version, "seconds": seconds})

    def serving(self, version: str) -> None:
        self._current.clear()
        self._current.labels(version).set(1)
