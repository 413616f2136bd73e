"""Laws of forecasting what a run costs."""

from __future__ import annotations

from dataclasses import replace

import pytest

from judge.rubrics.rubric import RubricRegistry
from judge.settings import TeacherSettings
from judge.teacher.forecast import ASSUMPTIONS, CHARACTERS_A_TOKEN, Forecast, Plan, forecast
from judge.teacher.prices import Prices

PRICES = Prices.model_validate(
    {
        "as_of": "2026-11-01",
        "models": {
            "m": {
                "cache_hit": 1.0,
                "cache_miss": 10.0,
                "output": 100.0,
                "peak": {"factor": 2, "days": [0], "hours": [[1, 4]]},
            }
        },
    }
)
TEACHER = TeacherSettings(model="m", max_tokens=500)
PLAN = Plan("batch", 100, 4, 100, prompt_characters=32, max_new_tokens=1000)


def made(rubrics: RubricRegistry, plan: Plan = PLAN, **changes: object) -> Forecast:
    teacher = TEACHER.model_copy(update=changes)
    return forecast(plan, rubrics.get("medical-safety"), teacher, PRICES)


def test_the_likely_case_by_hand(rubrics: RubricRegistry) -> None:
    """Rubric from the cache, prompt and half an answer new, 70 tokens a dimension, 20 a danger."""
    found = made(rubrics)
    likely = found.costs[1]
    template = rubrics.get("medical-safety").template
    hit = round(len(template.system) / CHARACTERS_A_TOKEN)
    miss = round((len(template.user) + 32) / CHARACTERS_A_TOKEN) + 500
    assert found.plan.judgements == 500
    assert (likely.calls, likely.hit_tokens, likely.miss_tokens, likely.reply_tokens) == (
        500, hit, miss, 380,
    )  # fmt: skip
    assert likely.usd == pytest.approx(500 * (hit * 1 + miss * 10 + 380 * 100) / 1e6)
    assert likely.usd_peak == pytest.approx(2 * likely.usd)


def test_each_criterion_is_a_call_of_which_only_the_end_is_new(rubrics: RubricRegistry) -> None:
    """All but the first about an answer find conversation and answer in the endpoint's cache."""
    rubric, plan = rubrics.get("criteria"), replace(PLAN, criteria=10)
    found = forecast(plan, rubric, TEACHER, PRICES).costs[1]
    asked = round((len(rubric.template.user) + 32) / CHARACTERS_A_TOKEN) + 500
    assert (found.calls, found.miss_tokens) == (5000, asked - round(asked * 0.9))


def test_low_is_below_likely_is_below_high(rubrics: RubricRegistry) -> None:
    """The three cases are in order, and high takes nothing for cached."""
    found = made(rubrics)
    assert [cost.name for cost in found.costs] == [case.name for case in ASSUMPTIONS]
    assert found.costs[0].usd < found.costs[1].usd < found.costs[2].usd
    assert (found.costs[2].hit_tokens, found.costs[2].reply_tokens) == (0, 500)
    assert found.costs[2].calls == pytest.approx(550)


def test_twice_the_batches_cost_twice(rubrics: RubricRegistry) -> None:
    """Every judgement costs the same."""
    once = made(rubrics, replace(PLAN, further=0)).costs[1]
    twice = made(rubrics, replace(PLAN, further=0, units=200)).costs[1]
    assert twice.usd == pytest.approx(2 * once.usd)


@pytest.mark.parametrize(
    ("share", "expected"), [(1.0, None), (2.0, None), (0.5, 51), (0.999, 100), (0.0, 1)]
)
def test_where_the_money_ends(rubrics: RubricRegistry, share: float, expected: int | None) -> None:
    """With half of the money the run stops half-way; with all of it, it does not stop."""
    found = made(rubrics)
    cost = found.costs[1]
    assert found.reached_at(share * cost.usd, cost) == expected
    assert found.reached_at(share * cost.usd_peak, cost, peak=True) == expected


def test_a_model_without_a_price_is_said_to_have_none(rubrics: RubricRegistry) -> None:
    """Nought dollars because nobody knows is not the same as for nothing."""
    found = made(rubrics, model="unheard-of")
    assert (found.is_priced, found.costs[2].usd) == (False, 0.0)


def test_a_rubric_that_asks_no_teacher_costs_nothing(rubrics: RubricRegistry) -> None:
    """There is no call to price."""
    assert forecast(PLAN, rubrics.get("finance"), TEACHER, PRICES).costs == ()
