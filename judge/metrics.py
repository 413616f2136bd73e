"""What the judge counts."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Histogram

from judge.schemas import ScoreResponse, ScoreResult
from judge.verdict import Verdict


class JudgeMetrics:
    def __init__(self, registry: CollectorRegistry) -> None:
        self._items = Counter(
            "galen_judge_items",
            "Items judged, by rubric, status and provider",
            ["rubric", "status", "provider"],
            registry=registry,
        )
        self._cached = Counter(
            "galen_judge_cached_items", "Items answered from the ledger", registry=registry
        )
        self._hits = Counter(
            "galen_judge_rule_hits", "Hits of each rule", ["rubric", "rule"], registry=registry
        )
        self._failures = Counter(
            "galen_judge_failed_items", "Items not judged, by cause", ["code"], registry=registry
        )
        self._cost = Counter(
            "galen_judge_cost_usd", "US dollars spent on teacher calls", registry=registry
        )
        self._latency = Histogram(
            "galen_judge_teacher_seconds",
            "Seconds from asking a teacher to its verdict, retries included",
            ["provider"],
            registry=registry,
            buckets=(0.001, 0.1, 0.5, 1, 2, 5, 10, 30, 60),
        )

    def count(self, response: ScoreResponse) -> None:
        for item in response.items:
            self._count_item(response.rubric, item)
        self._cost.inc(response.usage.cost_usd)

    def time(self, verdict: Verdict) -> None:
        self._latency.labels(verdict.provider).observe(verdict.latency_s)

    def _count_item(self, rubric: str, item: ScoreResult) -> None:
        self._items.labels(rubric, item.status, item.provider).inc()
        if item.cached:
            self._cached.inc()
        if item.error:
            self._failures.labels(item.error.code).inc()
        for hit in item.rules.hits if item.rules else ():
            self._hits.labels(rubric, hit.rule).inc()
