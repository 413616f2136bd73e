"""What the judge counts."""

from __future__ import annotations

from collections import Counter as Tally

from prometheus_client import CollectorRegistry, Counter, Histogram

from judge.schemas import ScoreResponse
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
        """Counts a whole batch at once: looking a label up costs more than counting."""
        items = response.items
        judged = Tally((item.status, item.provider) for item in items)
        for (status, provider), number in judged.items():
            self._items.labels(response.rubric, status, provider).inc(number)
        for code, number in Tally(item.error.code for item in items if item.error).items():
            self._failures.labels(code).inc(number)
        hits = Tally(hit.rule for item in items if item.rules for hit in item.rules.hits)
        for rule, number in hits.items():
            self._hits.labels(response.rubric, rule).inc(number)
        self._cached.inc(response.usage.cached_items)
        self._cost.inc(response.usage.cost_usd)

    def time(self, verdict: Verdict) -> None:
        self._latency.labels(verdict.provider).observe(verdict.latency_s)
