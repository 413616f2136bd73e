"""A second opinion: the judge compares answers pair by pair, in both orders.

A rubric scores each answer by itself; a comparison sees both. Where the two agree, a difference is
not the work of one way to judge. Shapes: P prompts, N pairs.
"""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from statistics import fmean

from pydantic import BaseModel, ConfigDict

from galen import digest
from galen.errors import Conflict, InvalidInput
from galen.records import storable
from judge.client import JudgeClient
from judge.pair_schemas import CompareRequest, CompareResponse, PairItem, PairResult, Winner
from judge.schemas import MAX_TEXT
from trainer.asked import as_asked
from trainer.evaluate import statistics
from trainer.evaluate.evaluate import Measured, Plan, Watch
from trainer.evaluate.scoring import AT_ONCE, MOCK, Answer, Values
from trainer.evaluate.suite import Measure, Suite

BATCH = 16
"""Pairs in one request to the judge."""
_MARGIN = 1e-6


class Pairwise(BaseModel):
    """The candidate's answers against the baseline's, as the pairwise judge sees them."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    candidate: str
    pairs: int
    """Pairs with a verdict; each prompt has one for each of its answers."""
    failed: int
    wins: int
    draws: int
    losses: int
    share: float
    """The candidate's share of wins, a draw as half, averaged over prompts."""
    low: float
    high: float
    position_bias: float | None
    """Share of the pairs that a teacher read whose two orders disagree; those are draws."""
    measure: str
    """The rubric's measure that it is held against."""
    agreement: float | None
    """Share of pairs on which both say the same of won, draw and lost."""
    kappa: float | None
    """Cohen's, of the same; None where there is nothing that chance could not do."""
    provider: str
    cost_usd: float


async def check(plan: Plan) -> None:
    """Refuse before anything is sampled what the judge could not compare.

    Raises `InvalidInput` for a suite without a rubric that compares, `Conflict` for a mock teacher
    that is not allowed.
    """
    async with JudgeClient(plan.judge, key=plan.judge_key) as judge:
        cards = {card.name: card for card in await judge.rubrics()}
        able = ", ".join(name for name, card in cards.items() if card.compares)
        for suite in plan.suites:
            if suite.rubric is None or not (card := cards.get(suite.rubric)) or not card.compares:
                raise InvalidInput(
                    f"--pairwise: suite {suite.name} has no rubric that compares answers; "
                    f"suites with one of these have: {able}"
                )
            examinee = await judge.examinee(suite.rubric)
            if examinee.provider == MOCK and not plan.allow_mock:
                raise Conflict(
                    "--pairwise: the judge has no teacher and uses its mock: set DEEPSEEK_API_KEY "
                    "for the judge, or rehearse with --allow-mock"
                )


async def second_opinions(
    plan: Plan, measured: Sequence[Measured], watch: Watch
) -> dict[str, list[Pairwise]]:
    """For each suite each candidate against the baseline, the first."""
    by_suite: dict[str, list[Measured]] = defaultdict(list)
    for each in measured:
        by_suite[each.suite.name].append(each)
    found: dict[str, list[Pairwise]] = {}
    async with JudgeClient(plan.judge, key=plan.judge_key, deadline_s=600.0) as judge:
        for name, (baseline, *candidates) in by_suite.items():
            found[name] = [await _opinion(judge, baseline, each, watch) for each in candidates]
    return found


async def _opinion(
    judge: JudgeClient, baseline: Measured, candidate: Measured, watch: Watch
) -> Pairwise:
    suite, ours, theirs = baseline.suite, _by_question(baseline), _by_question(candidate)
    both = [key for key in ours if key in theirs]
    items = [_item(ours[key][0], theirs[key][0]) for key in both]
    watch.start(f"{suite.name}: comparing {candidate.result.model}", len(items), 0)
    gate = asyncio.Semaphore(AT_ONCE)

    async def ask(batch: Sequence[PairItem]) -> CompareResponse:
        request = CompareRequest(
            rubric=suite.rubric or "", items=tuple(batch), run=f"compare-{suite.name}"
        )
        async with gate:
            response = await judge.compare(request)
        watch.step(len(batch))
        return response

    batches = [items[at : at + BATCH] for at in range(0, len(items), BATCH)]
    responses = await asyncio.gather(*(ask(batch) for batch in batches))
    results = [result for response in responses for result in response.items]
    rated = [
        (key[0], result.winner, _by_rubric(suite, ours[key][1], theirs[key][1]))
        for key, result in zip(both, results, strict=True)
        if result.winner is not None
    ]
    if not rated:
        codes = Counter(result.error.code for result in results if result.error)
        raise InvalidInput(
            f"--pairwise: no pair of suite {suite.name} was judged: {dict(codes)}; mend the judge "
            "and run the same command again"
        )
    cost = sum(response.usage.cost_usd for response in responses)
    return _summary(candidate.result.model, suite, rated, results, cost)


def _summary(
    candidate: str,
    suite: Suite,
    rated: Sequence[tuple[str, Winner, Winner | None]],
    results: Sequence[PairResult],
    cost_usd: float,
) -> Pairwise:
    shares: dict[str, list[float]] = defaultdict(list)
    for prompt, winner, _ in rated:
        shares[prompt].append({"a": 0.0, "draw": 0.5, "b": 1.0}[winner])
    interval = statistics.share([fmean(each) for each in shares.values()])
    counts = Counter(winner for _, winner, _ in rated)
    told = [(winner, scored) for _, winner, scored in rated if scored is not None]
    orders = [result.orders_agree for result in results if result.orders_agree is not None]
    providers = {result.provider for result in results if result.orders_agree is not None}
    return Pairwise(
        candidate=candidate,
        pairs=len(rated),
        failed=len(results) - len(rated),
        wins=counts["b"],
        draws=counts["draw"],
        losses=counts["a"],
        share=interval.mean,
        low=interval.low,
        high=interval.high,
        position_bias=orders.count(False) / len(orders) if orders else None,
        measure=_measure(suite)[0],
        agreement=fmean(a == b for a, b in told) if told else None,
        kappa=cohens_kappa(told),
        provider=", ".join(sorted(providers)) or "rules",
        cost_usd=cost_usd,
    )


def cohens_kappa(pairs_N: Sequence[tuple[str, str]]) -> float | None:
    """Agreement of two judges beyond chance: (p_o − p_e) / (1 − p_e), with p_o the share on which
    they agree and p_e the share that their own frequencies would give (Cohen 1960).

    None where p_e is 1 or there is no pair.
    """
    n = len(pairs_N)
    first, second = Counter(a for a, _ in pairs_N), Counter(b for _, b in pairs_N)
    expected = sum(first[name] * second[name] for name in first) / n**2 if n else 1.0
    if expected == 1.0:
        return None
    return (sum(a == b for a, b in pairs_N) / n - expected) / (1 - expected)


def _by_question(measured: Measured) -> dict[tuple[str, int], tuple[Answer, Values]]:
    rows = zip(measured.answers, measured.values, strict=True)
    return {(answer.item.id, answer.sample): (answer, values) for answer, values in rows}


def _item(ours: Answer, theirs: Answer) -> PairItem:
    return PairItem(
        id=f"{digest.of_json(ours.item.id)[:16]}-{ours.sample}",
        messages=as_asked(ours.item.turns),
        response_a=storable(ours.written.text)[:MAX_TEXT],
        response_b=storable(theirs.written.text)[:MAX_TEXT],
        reference=ours.item.reference,
    )


def _measure(suite: Suite) -> tuple[str, Measure]:
    """The rubric's reward if the suite measures it, else the headline."""
    rewards = (entry for entry in suite.measures.items() if entry[1].score == "reward")
    return next(rewards, next(iter(suite.measures.items())))


def _by_rubric(suite: Suite, ours: Mapping[str, float | None], theirs: Values) -> Winner | None:
    """Which of the two the rubric's own figures prefer; None where one has none."""
    name, measure = _measure(suite)
    before, after = ours.get(name), theirs.get(name)
    if before is None or after is None:
        return None
    gain = (after - before) * (1 if measure.better == "higher" else -1)
    return "draw" if abs(gain) <= _MARGIN else "b" if gain > 0 else "a"
