"""From pairs to winners: the rules first, then the teacher in both orders.

A teacher tends to prefer the answer that it reads first, or the second. So each pair is asked in
both orders, and where the two verdicts disagree it is a draw. Each order is a question of its own:
reserved, paid and kept in the ledger like any other.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from judge.pair_schemas import (
    CompareRequest,
    CompareResponse,
    OrderVerdict,
    PairItem,
    PairResult,
    Winner,
)
from judge.rubrics.rubric import Rubric
from judge.schemas import (
    ItemError,
    ScoreItem,
    ScoreRequest,
    ScoreResponse,
    ScoreResult,
    Usage,
)
from judge.scoring.asking import Asking, stop_waiting
from judge.scoring.assessor import ATTACKED, too_long
from judge.scoring.results import RULES, Outcome, incomplete_of
from judge.scoring.rule_workers import Readers, Reading
from judge.teacher.pair_reply import FIRST
from judge.teacher.panel import opinion_of
from judge.teacher.verdict import Client, Spent
from judge.text.case import Case, PairCase

_EVEN = 0.5


@dataclass(frozen=True, slots=True)
class Order:
    """One order of one pair, as it is kept for a run: the answer that stood first."""

    item: ScoreItem
    result: ScoreResult
    key: str | None


@dataclass(frozen=True, slots=True)
class Compared:
    response: CompareResponse
    orders: list[Order]


@dataclass(frozen=True, slots=True)
class _Pair:
    """A pair after the rules read both answers; with two keys if the teacher decides."""

    item: PairItem
    readings: tuple[Reading, Reading] | None
    refused: ItemError | None = None
    winner: Winner | None = None
    cases: tuple[PairCase, PairCase] | None = None
    keys: tuple[str, str] | None = None


class Comparer:
    def __init__(self, asking: Asking, readers: Readers) -> None:
        self._asking = asking
        self._readers = readers

    async def compare(self, rubric: Rubric, request: CompareRequest, client: Client) -> Compared:
        """One result for each pair, in order. A teacher's failure is in its pair.

        Raises `Overloaded` or `Unavailable` before any call is made.
        """
        pairs = await self._read(rubric, request)
        wanted = {
            key: case
            for pair in pairs
            if pair.keys and pair.cases
            for key, case in zip(pair.keys, pair.cases, strict=True)
        }
        known = await self._asking.known(wanted)
        new = wanted.keys() - known.keys()
        with self._asking.room_for(new) as reserved:
            asked = {
                key: self._asking.ask(rubric.for_pairs, key, wanted[key], client, request.sample)
                for key in sorted(new)
            }
            self._asking.begun(reserved, new)
            try:
                outcomes = dict(zip(asked, await asyncio.gather(*asked.values()), strict=True))
            finally:
                await stop_waiting(asked.values())
        self._asking.count_look_ups(wanted.keys(), known.keys())
        return _compared(rubric, pairs, outcomes | known, list(outcomes.values()))

    async def _read(self, rubric: Rubric, request: CompareRequest) -> list[_Pair]:
        """The pairs with the rules' readings, and with what these decide."""
        problems = [_too_long(item) for item in request.items]
        cases = [
            Case(item.question, response, item.reference or "", item.earlier)
            for item, problem in zip(request.items, problems, strict=True)
            if problem is None
            for response in (item.response_a, item.response_b)
        ]
        readings = iter(await self._readers.read(rubric, cases))
        return [
            _Pair(item, None, refused=problem)
            if problem
            else self._settled(rubric, item, (next(readings), next(readings)), request.sample)
            for item, problem in zip(request.items, problems, strict=True)
        ]

    def _settled(
        self, rubric: Rubric, item: PairItem, readings: tuple[Reading, Reading], sample: int
    ) -> _Pair:
        if any(reading.is_prompt_distrusted for reading in readings):
            return _Pair(item, readings, refused=ATTACKED)
        unfit_a, unfit_b = (
            reading.is_kept_back or bool(rubric.flags(reading.rules)) for reading in readings
        )
        if unfit_a or unfit_b or item.response_a == item.response_b:
            winner: Winner = "draw" if unfit_a == unfit_b else "b" if unfit_a else "a"
            return _Pair(item, readings, winner=winner)
        a, b, reference = item.response_a, item.response_b, item.reference or ""
        cases = (
            PairCase(item.question, a, reference, item.earlier, other=b),
            PairCase(item.question, b, reference, item.earlier, other=a),
        )
        key_ab, key_ba = (self._asking.key_of(rubric.for_pairs, case, sample) for case in cases)
        return _Pair(item, readings, cases=cases, keys=(key_ab, key_ba))


def as_judgements(
    request: CompareRequest, compared: Compared
) -> tuple[ScoreRequest, ScoreResponse]:
    """Each order as a judgement, for a run's audit and the metrics."""
    items = tuple(order.item for order in compared.orders)
    found = compared.response
    asked = ScoreRequest(rubric=request.rubric, items=items, run=request.run, step=request.step)
    answer = ScoreResponse(
        rubric=found.rubric,
        rubric_sha256=found.rubric_sha256,
        items=tuple(order.result for order in compared.orders),
        usage=found.usage,
    )
    return asked, answer


def _compared(
    rubric: Rubric, pairs: Sequence[_Pair], asked: Mapping[str, Outcome], paid: Sequence[Outcome]
) -> Compared:
    results = [_result(rubric, pair, asked) for pair in pairs]
    agreements = [result.orders_agree for result in results if result.orders_agree is not None]
    spent = sum((outcome.spent for outcome in paid), Spent())
    response = CompareResponse(
        rubric=rubric.name,
        rubric_sha256=rubric.sha256,
        items=tuple(results),
        asked=len(agreements),
        position_bias=agreements.count(False) / len(agreements) if agreements else None,
        usage=Usage(
            prompt_tokens=spent.prompt_tokens,
            completion_tokens=spent.completion_tokens,
            cached_items=sum(result.cached for result in results),
            cost_usd=spent.cost_usd,
        ),
    )
    orders = [
        order
        for pair, result in zip(pairs, results, strict=True)
        for order in _orders(rubric, pair, result, asked)
    ]
    return Compared(response, orders)


def _result(rubric: Rubric, pair: _Pair, asked: Mapping[str, Outcome]) -> PairResult:
    flags_a, flags_b = (
        (rubric.flags(pair.readings[0].rules), rubric.flags(pair.readings[1].rules))
        if pair.readings
        else ((), ())
    )
    if pair.keys is None:
        return PairResult(
            id=pair.item.id,
            status="failed" if pair.refused else "ok",
            winner=pair.winner,
            orders_agree=None,
            flags_a=flags_a,
            flags_b=flags_b,
            provider=RULES,
            error=pair.refused,
        )
    both = [asked[key] for key in pair.keys]
    a_first, b_first = _verdict(both[0], is_swapped=False), _verdict(both[1], is_swapped=True)
    failure = next((outcome.failure for outcome in both if outcome.failure), None)
    agree = a_first.winner == b_first.winner if a_first and b_first else None
    winner: Winner | None = None
    if a_first and agree is not None:
        winner = a_first.winner if agree else "draw"
    return PairResult(
        id=pair.item.id,
        status="failed" if failure else "ok",
        winner=winner,
        orders_agree=agree,
        a_first=a_first,
        b_first=b_first,
        flags_a=flags_a,
        flags_b=flags_b,
        provider=next((o.verdict.provider for o in both if o.verdict), both[0].provider),
        cached=all(outcome.cached for outcome in both),
        cost=sum(outcome.spent.cost_usd for outcome in both),
        error=failure.as_item_error() if failure else _without_some(both),
    )


def _without_some(both: Sequence[Outcome]) -> ItemError | None:
    found = (incomplete_of(outcome.verdict) for outcome in both if outcome.verdict)
    return next((error for error in found if error), None)


def _verdict(outcome: Outcome, *, is_swapped: bool) -> OrderVerdict | None:
    if outcome.verdict is None:
        return None
    share = outcome.verdict.scores[FIRST]
    first_wins = share > _EVEN
    winner: Winner = "draw" if share == _EVEN else "a" if first_wins != is_swapped else "b"
    evidence = outcome.verdict.evidence.get(FIRST, "")
    return OrderVerdict(
        winner=winner,
        why=outcome.verdict.why,
        evidence=evidence,
        panel=opinion_of(outcome.verdict),
    )


def _orders(
    rubric: Rubric, pair: _Pair, result: PairResult, asked: Mapping[str, Outcome]
) -> list[Order]:
    """Both orders as judgements without a reward, which would be on another scale."""
    found = []
    for place, name in enumerate(("ab", "ba")):
        key = pair.keys[place] if pair.keys else None
        outcome = asked[key] if key else None
        rules = pair.readings[place].rules if pair.readings else None
        failure = outcome.failure.as_item_error() if outcome and outcome.failure else pair.refused
        item = ScoreItem(
            id=f"{pair.item.id}/{name}",
            prompt=pair.item.prompt,
            messages=pair.item.messages,
            response=(pair.item.response_a, pair.item.response_b)[place],
            reference=pair.item.reference,
        )
        judged = ScoreResult(
            id=item.id,
            status="failed" if failure else "ok",
            reward=None,
            rules=rules,
            teacher=None,
            flags=(result.flags_a, result.flags_b)[place],
            provider=result.provider,
            cached=outcome.cached if outcome else False,
            cost=outcome.spent.cost_usd if outcome else 0.0,
            error=failure,
        )
        found.append(Order(item, judged, key))
    return found


def _too_long(item: PairItem) -> ItemError | None:
    return too_long(
        {
            **item.asked,
            "response_a": item.response_a,
            "response_b": item.response_b,
            "reference": item.reference or "",
        }
    )
