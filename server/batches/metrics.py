"""What the gateway tells of its batches."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter


class BatchMetrics:
    def __init__(self, registry: CollectorRegistry) -> None:
        lines = Counter(
            "galen_server_batch_lines",
            "Lines of batches that have their result, by what it is: ok or failed",
            ["outcome"],
            registry=registry,
        )
        self._ok, self._failed = lines.labels("ok"), lines.labels("failed")

    def line(self, good: bool) -> None:
        (self._ok if good else self._failed).inc()
