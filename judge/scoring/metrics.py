"""The judge's Prometheus metrics."""

from __future__ import annotations

import math
from collections import Counter as Tally
from collections.abc import Iterator

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.metrics_core import CounterMetricFamily
from prometheus_client.registry import Collector

from judge.audit_schemas import BudgetBalance
from judge.ledger.ledger import Ledger
from judge.pair_schemas import CompareResponse, PairResult
from judge.schemas import ScoreResponse
from judge.teacher.verdict import TeacherError, Verdict

REWARD_BUCKETS = (-3, -2, -1.5, -1, -0.75, -0.5, -0.25, 0, 0.25, 0.5, 0.75, 1, 1.5, 2)
"""The rubrics' clamps lie between the first and the last."""


class JudgeMetrics:
    def __init__(self, registry: CollectorRegistry) -> None:
        self._series: dict[tuple[Counter | str, ...], Counter] = {}
        self._items = Counter(
            "galen_judge_items",
            "Items judged, by rubric, status and provider",
            ["rubric", "status", "provider"],
            registry=registry,
        )
        self._rewards = Histogram(
            "galen_judge_reward",
            "Rewards given, by rubric and status: without a teacher they are on another scale",
            ["rubric", "status"],
            registry=registry,
            buckets=REWARD_BUCKETS,
        )
        self._cached = Counter(
            "galen_judge_cached_items",
            "Items whose verdict needed no call of their own: from memory, the ledger, or shared",
            registry=registry,
        )
        self._lookups = Counter(
            "galen_judge_ledger_lookups",
            "Distinct verdicts looked up in the ledger, by whether they were found",
            ["found"],
            registry=registry,
        )
        self._verdicts = Counter(
            "galen_judge_teacher_judgements",
            "Judgements asked of a teacher, by outcome: verdict, or why there was none",
            ["outcome"],
            registry=registry,
        )
        self._rejected = Counter(
            "galen_judge_rejected_replies",
            "Replies of a teacher that were paid for but are not a valid verdict",
            registry=registry,
        )
        self._committed = Gauge(
            "galen_judge_budget_day_committed_usd",
            "US dollars spent today (UTC), or reserved for calls under way",
            registry=registry,
        )
        self._cap = Gauge(
            "galen_judge_budget_day_cap_usd",
            "US dollars that may be spent in a day; +Inf without a cap",
            registry=registry,
        )
        self._hits = Counter(
            "galen_judge_rule_hits", "Hits of each rule", ["rubric", "rule"], registry=registry
        )
        self._pairs = Counter(
            "galen_judge_pairs",
            "Pairs compared, by what came of both orders: won, draw, disagreed or failed",
            ["rubric", "outcome"],
            registry=registry,
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
        """Count a whole batch at once."""
        items = response.items
        judged = Tally((item.status, item.provider) for item in items)
        for (status, provider), number in judged.items():
            self._of(self._items, response.rubric, status, provider).inc(number)
        given = {item.status for item in items if item.reward is not None}
        rewards = {status: self._rewards.labels(response.rubric, status) for status in given}
        for item in items:
            if item.reward is not None:
                rewards[item.status].observe(item.reward)
        for code, number in Tally(item.error.code for item in items if item.error).items():
            self._of(self._failures, code).inc(number)
        hits = Tally(hit.rule for item in items if item.rules for hit in item.rules.hits)
        for rule, number in hits.items():
            self._of(self._hits, response.rubric, rule).inc(number)
        self._cached.inc(response.usage.cached_items)
        self._cost.inc(response.usage.cost_usd)

    def compared(self, response: CompareResponse) -> None:
        for outcome, number in Tally(_outcome(pair) for pair in response.items).items():
            self._pairs.labels(response.rubric, outcome).inc(number)

    def _of(self, counter: Counter, *labels: str) -> Counter:
        """A counter's series, cached: looking it up costs more than adding to it."""
        series = self._series.get((counter, *labels))
        if series is None:
            series = self._series[(counter, *labels)] = counter.labels(*labels)
        return series

    def look_up(self, wanted: int, found: int) -> None:
        """Count `wanted` look-ups in the ledger, `found` of them successful."""
        self._lookups.labels("yes").inc(found)
        self._lookups.labels("no").inc(wanted - found)

    def asked(self, answer: Verdict | TeacherError) -> None:
        """Count a teacher's judgement, once however many requests share it."""
        if isinstance(answer, Verdict):
            self._verdicts.labels("verdict").inc()
            self._latency.labels(answer.provider).observe(answer.latency_s)
        else:
            self._verdicts.labels(answer.code).inc()
        self._rejected.inc(len(answer.rejected))

    def balance(self, day: BudgetBalance | None) -> None:
        """Today's budget; None where the database does not answer."""
        if day is None:
            self._committed.set(math.nan)
            self._cap.set(math.nan)
        else:
            self._committed.set(day.committed_usd)
            self._cap.set(math.inf if day.cap_usd is None else day.cap_usd)


def _outcome(pair: PairResult) -> str:
    if pair.winner is None:
        return "failed"
    if pair.orders_agree is False:
        return "disagreed"
    return "draw" if pair.winner == "draw" else "won"


class LeaseWaits(Collector):
    """Reads its count from the ledger, which does not know of metrics."""

    def __init__(self, ledger: Ledger, registry: CollectorRegistry) -> None:
        self._ledger = ledger
        registry.register(self)

    def collect(self) -> Iterator[CounterMetricFamily]:
        yield CounterMetricFamily(
            "galen_judge_lease_waits",
            "Verdicts that were waited for because another judge was asking",
            value=self._ledger.lease_waits,
        )
