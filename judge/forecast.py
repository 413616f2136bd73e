"""What a run will ask of a teacher and what that will cost, before the first call is made.

Three cases. Low: short answers, short replies. Likely: answers of half the length that the recipe
allows. High: answers of the whole length, replies as long as a teacher may write, nothing found in
the endpoint's cache, and one call in ten made again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from judge.prices import Prices
from judge.rubric import Rubric
from judge.settings import TeacherSettings

CHARACTERS_A_TOKEN = 1.6
"""Of Chinese, as Qwen3's tokenizer reads it."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What a recipe will have judged."""

    unit: str
    """What the run counts by: `batch` or `prompt`."""
    units: int
    judgements_a_unit: int
    further: int
    """Judgements beside those: the anchors."""
    prompt_characters: float
    """Mean length of a prompt."""
    max_new_tokens: int
    """Of a completion, as the recipe bounds it."""

    @property
    def judgements(self) -> int:
        return self.units * self.judgements_a_unit + self.further


@dataclass(frozen=True, slots=True)
class Assumption:
    """One case's guesses for what nobody knows beforehand."""

    name: str
    response_share: float
    """Of `max_new_tokens`."""
    reply_tokens_a_dimension: int | None
    """None: as much as the settings allow."""
    is_cached: bool
    """Whether the endpoint finds the rubric's text in its own cache."""
    calls: float
    """For each judgement."""


ASSUMPTIONS = (
    Assumption("low", 0.25, 40, True, 1.0),
    Assumption("likely", 0.5, 70, True, 1.0),
    Assumption("high", 1.0, None, False, 1.1),
)


@dataclass(frozen=True, slots=True)
class Cost:
    """One case: tokens for each call, dollars for the whole run."""

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
    """Whether the table of prices lists the model; if not, every dollar figure is 0."""
    costs: tuple[Cost, ...]

    def reached_at(self, usd_left: float, cost: Cost, *, peak: bool = False) -> int | None:
        """The unit in which that much money is used up, from 1; None if it lasts."""
        whole = cost.usd_peak if peak else cost.usd
        if whole <= usd_left:
            return None
        return int(usd_left / whole * self.plan.units) + 1


def forecast(plan: Plan, rubric: Rubric, teacher: TeacherSettings, prices: Prices) -> Forecast:
    """A rubric that asks no teacher costs nothing."""
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
        reply = min(reply, case.reply_tokens_a_dimension * len(rubric.dimensions))
    hit = static if case.is_cached else 0
    calls = plan.judgements * case.calls
    usd = calls * prices.cost_usd(teacher.model, static + asked, hit, reply)
    price = prices.models.get(teacher.model)
    factor = price.peak.factor if price and price.peak else 1.0
    return Cost(case.name, calls, hit, static + asked - hit, reply, usd, usd * factor)
