"""The gateway's own metrics, beside those of `galen.web`; the engine's are appended on scraping."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from server.engine import Engine


def watch_engine(engine: Engine, registry: CollectorRegistry) -> None:
    """Read the engine's condition whenever the metrics are scraped."""
    ready = Gauge("galen_server_engine_ready", "1 while the engine can be used", registry=registry)
    ready.set_function(lambda: 0.0 if engine.problem else 1.0)
    restarts = Gauge(
        "galen_server_engine_restarts", "Restarts since the gateway started", registry=registry
    )
    restarts.set_function(lambda: float(engine.restarts))


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
