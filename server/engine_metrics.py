"""The engines' own metrics, passed on with a label that tells the engines apart."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterable, Sequence

from prometheus_client import CollectorRegistry, Metric, generate_latest
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector

from server.policy.replica import Replica

log = logging.getLogger(__name__)

ENGINE_LABEL = "engine"
_HIDDEN = "model_name"
"""The engine's own name for its weights: internal, and new at each start of an engine."""
FRESH_S = 1.0
"""Seconds for which one answer of the engines serves every scrape."""


class EngineMetrics:
    """The engines' `/metrics`. Scrapes within `FRESH_S` share one answer."""

    def __init__(self, replicas: Sequence[Replica]) -> None:
        self._replicas = replicas
        self._lock = asyncio.Lock()
        self._text = b""
        self._asked_at = -FRESH_S

    async def text(self) -> bytes:
        """Prometheus' text format. An engine that does not answer is left out."""
        async with self._lock:
            if time.monotonic() - self._asked_at >= FRESH_S:
                texts = await asyncio.gather(*(each.api.metrics() for each in self._replicas))
                labels = [each.label for each in self._replicas]
                # Reading a thousand series takes some 20 ms.
                self._text = await asyncio.to_thread(merged, list(zip(labels, texts, strict=True)))
                self._asked_at = time.monotonic()
            return self._text


def merged(texts: Sequence[tuple[str, str]]) -> bytes:
    """One valid text from the texts of several engines, given with their labels."""
    registry = CollectorRegistry()
    registry.register(_Families(texts))
    return generate_latest(registry)


class _Families(Collector):
    def __init__(self, texts: Sequence[tuple[str, str]]) -> None:
        self._texts = texts

    def describe(self) -> Iterable[Metric]:
        return ()

    def collect(self) -> Iterable[Metric]:
        """The first text decides a family's type; samples of another type are left out."""
        families: dict[str, Metric] = {}
        for engine, text in self._texts:
            for found in _families_in(text):
                family = families.setdefault(
                    found.name, Metric(found.name, found.documentation, found.type)
                )
                if family.type == found.type:
                    for sample in found.samples:
                        labels = {k: v for k, v in sample.labels.items() if k != _HIDDEN}
                        if ENGINE_LABEL in labels:  # as Prometheus does where two labels clash
                            labels[f"exported_{ENGINE_LABEL}"] = labels[ENGINE_LABEL]
                        labels[ENGINE_LABEL] = engine
                        family.samples.append(sample._replace(labels=labels))
        return families.values()


def _families_in(text: str) -> list[Metric]:
    try:
        return list(text_string_to_metric_families(text))
    except ValueError:
        log.warning("an engine's metrics cannot be read")
        return []
