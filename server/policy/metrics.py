"""What the gateway tells of its engines and of the version that serves."""

from __future__ import annotations

import functools
from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from galen.errors import VersionRefused
from server.policy.pool import Pool
from server.policy.replica import Replica


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
        self.loads = Counter(
            "galen_server_version_loads",
            "Versions loaded or refused",
            ["outcome"],
            registry=registry,
        )
        for outcome in ("ok", VersionRefused.code):
            self.loads.labels(outcome)  # or the first refusal would be no increase
        self.parity = Gauge(
            "galen_server_parity_nats",
            "Mean absolute log-probability difference of the last version loaded",
            registry=registry,
        )
        self.seconds = Histogram(
            "galen_server_version_load_seconds",
            "Seconds to load, probe and activate a version",
            registry=registry,
            buckets=(0.05, 0.1, 0.2, 0.5, 1, 2, 5, 20, 60),
        )

    def serving(self, version: str) -> None:
        self._current.clear()
        self._current.labels(version).set(1)
