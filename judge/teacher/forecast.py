"""A forecast of a run's teacher calls and their cost, before the first call.

It has three cases. Low: short answers and replies. Likely: answers of half the recipe's limit.
High: answers and replies of full length, no cache hits, and one call in ten repeated.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from judge.rubrics.rubric import Rubric
from judge.settings import TeacherSettings
from judge.teacher.prices import CHARACTERS_A_TOKEN as CHARACTERS_A_TOKEN
from judge.teacher.prices import Prices

_TOKENS_A_DANGER = 20
"""Of a no; a yes has a quotation, too."""


@dataclass(frozen=True, slots=True)
class Plan:
    unit: str
    """What the run counts by: `batch` or `prompt`."""
    units: int
    judgements_a_unit: int
    further: int
    """Judgements of the anchors, in the whole run."""
    prompt_characters: float
    """Mean length of a prompt."""
    max_new_tokens: int
    """The recipe's limit for one completion."""
    criteria: float = 0.0
    """Mean number of criteria of a prompt, where the rubric grades them: each is a call."""

    @property
    def judgements(self) -> int:
        return self.units * self.judgements_a_unit + self.further


@dataclass(frozen=True, slots=True)
class Assumption:
    name: str
    response_share: float
    """Mean length of a response as a share of `max_new_tokens`."""
    reply_tokens_a_dimension: int | None
    """None: the settings' `max_tokens` in total."""
    is_cached: bool
    """Whether the rubric's text is in the endpoint's cache."""
    calls: float
    """Calls for each judgement."""


ASSUMPTIONS = (
    Assumption("low", 0.25, 40, True, 1.0),
    Assumption("likely", 0.5, 70, True, 1.0),
    Assumption("high", 1.0, None, False, 1.1),
)


@dataclass(frozen=True, slots=True)
class Cost:
    """One case: tokens of each call, US dollars of the whole run."""

    name: str
    calls: float
    hit_tokens: int
    miss_tokens: int
    reply_tokens: int
    usd: float
    """At off-peak prices."""
    usd_peak: float
    """With every call made in peak hours."""


@dataclass(frozen=True, slots=True)
class Forecast:
    plan: Plan
    model: str
    is_priced: bool
    """Whether the price table has the model; if not, every dollar figure is 0."""
    costs: tuple[Cost, ...]

    def reached_at(self, usd_left: float, cost: Cost, *, peak: bool = False) -> int | None:
        """The unit, counted from 1, in which `usd_left` runs out; None if it lasts."""
        whole = cost.usd_peak if peak else cost.usd
        if whole <= usd_left:
            return None
        return int(usd_left / whole * self.plan.units) + 1


def forecast(plan: Plan, rubric: Rubric, teacher: TeacherSettings, prices: Prices) -> Forecast:
    """The costs of a plan; none for a rubric that asks no teacher."""
    costs = (_cost(plan, rubric, teacher, prices, case) for case in ASSUMPTIONS)
    return Forecast(
        plan=plan,
        model=teacher.model,
        is_priced=teacher.model in prices.models,
        costs=tuple(costs) if rubric.asks_teacher else (),
    )


def tokens(texts: Sequence[str]) -> int:
    return tokens_of(sum(len(text) for text in texts))


def tokens_of(characters: float) -> int:
    return round(characters / CHARACTERS_A_TOKEN)


def _cost(
    plan: Plan, rubric: Rubric, teacher: TeacherSettings, prices: Prices, case: Assumption
) -> Cost:
    static = tokens([rubric.template.system])
    asked = tokens_of(len(rubric.template.user) + plan.prompt_characters)
    asked += round(case.response_share * plan.max_new_tokens)
    reply = teacher.max_tokens
    if case.reply_tokens_a_dimension is not None:
        written = case.reply_tokens_a_dimension * max(1, len(rubric.dimensions))
        reply = min(reply, written + _TOKENS_A_DANGER * len(rubric.dangers))
    questions = plan.criteria or 1.0
    again = 1 - 1 / questions  # all but the first about an answer find it in the cache
    hit = static + round(asked * again) if case.is_cached else 0
    calls = plan.judgements * questions * case.calls
    usd = calls * prices.cost_usd(teacher.model, static + asked, hit, reply)
    price = prices.models.get(teacher.model)
    factor = price.peak.factor if price and price.peak else 1.0
    return Cost(case.name, calls, hit, static + asked - hit, reply, usd, usd * factor)
