"""`galen judge forecast`: a run's teacher calls and their cost, before it starts."""

from __future__ import annotations

import asyncio
import os
from math import ceil
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Annotated

import typer

from cli.services import DEFAULT

if TYPE_CHECKING:
    from cli.stack import StackConfig
    from judge.rubrics.rubric import Rubric
    from judge.settings import BudgetSettings
    from judge.teacher.forecast import Forecast, Plan
    from trainer.recipes import CompareRecipe, RlRecipe


def forecast(
    recipe: Annotated[Path, typer.Argument(help="A recipe that asks the judge.")],
    config: Annotated[
        Path, typer.Option("--config", "-c", help="The stack file, for the judge's settings.")
    ] = DEFAULT,
    overrides: Annotated[
        list[str], typer.Option("--set", metavar="FIELD=VALUE", help="Override a recipe's field.")
    ] = [],  # noqa: B006
) -> None:
    """Forecast a run's calls to the judge's teacher, and their cost."""
    from cli import stack
    from judge.rubrics.rubric import RubricRegistry
    from judge.teacher import forecast as forecasts
    from judge.teacher.prices import Prices
    from trainer import recipes

    asked = recipes.load(recipe, overrides)
    is_unasked = isinstance(asked, recipes.RlRecipe) and not asked.rewards.judge
    if is_unasked or isinstance(asked, recipes.Tuning):
        typer.echo(f"{recipe}: it does not ask the judge's teacher, so it costs nothing there.")
        return
    services = stack.load(config)
    rubric = RubricRegistry.load(services.judge.rubrics).get(asked.services.rubric)
    teacher = services.judge.teacher.with_environment(os.environ)
    prices = Prices.load().priced(teacher.model, teacher.price)
    found = forecasts.forecast(plan_of(asked, rubric), rubric, teacher, prices)
    for line in lines(found, prices.as_of.isoformat()):
        typer.echo(line)
    if services.judge.panel:
        typer.echo(f"A panel of {len(services.judge.panel)} judges: each member costs its own.")
    for line in caps(found, services, asked.services.judge, asked.run):
        typer.echo(line)


def plan_of(recipe: RlRecipe | CompareRecipe, rubric: Rubric) -> Plan:
    """The judgements that a recipe needs."""
    from judge.teacher.forecast import Plan
    from trainer.asked import turns_of
    from trainer.data.prompts import read_prompts
    from trainer.recipes import CompareRecipe

    rows = [prompt.row for prompt in read_prompts(recipe.prompts)]
    length = fmean(sum(len(turn.content) for turn in turns_of(row)) for row in rows)
    graded = 0.0
    if rubric.grades_criteria:
        graded = len(rubric.criteria) + fmean(len(row.criteria or ()) for row in rows)
    most = recipe.max_new_tokens
    if isinstance(recipe, CompareRecipe):
        return Plan("prompt", len(rows), 2 * recipe.samples, 0, length, most, graded)
    every = recipe.services.drift_every
    looks = 1 + ceil(recipe.batches / every) if every else 0
    further = looks * len(rubric.anchors)
    if recipe.held_out:
        held_out = 1 + ceil(recipe.batches / recipe.held_out_every)
        further += held_out * len(read_prompts(recipe.held_out))
    return Plan("batch", recipe.batches, recipe.batch_size, further, length, most, graded)


def lines(found: Forecast, priced_at: str) -> list[str]:
    """The forecast as a table."""
    from judge.settings import KEY_VARIABLE

    plan = found.plan
    noun = f"{plan.unit}es" if plan.unit == "batch" else f"{plan.unit}s"
    rows = [
        f"judgements  {plan.judgements:,}: {plan.units:,} {noun} of {plan.judgements_a_unit}, and "
        f"{plan.further} of anchors"
    ]
    if not found.costs:
        return [*rows, "The rubric asks no teacher: it costs nothing."]
    rows.append(f"teacher     {found.model}, prices of {priced_at}")
    if not found.is_priced:
        rows.append(
            f"{found.model} has no price in judge/teacher/prices.yaml: all costs below are 0."
        )
    if not os.environ.get(KEY_VARIABLE, "").strip():
        rows.append(f"{KEY_VARIABLE} is not set: the mock would judge, which costs nothing.")
    head = ("", "calls", "cached in", "new in", "out", "US$ off-peak", "US$ peak")
    rows.append("{:<8}{:>10}{:>11}{:>9}{:>7}{:>14}{:>11}".format(*head))
    rows += [
        f"{cost.name:<8}{cost.calls:>10,.0f}{cost.hit_tokens:>11,}{cost.miss_tokens:>9,}"
        f"{cost.reply_tokens:>7,}{cost.usd:>14.4f}{cost.usd_peak:>11.4f}"
        for cost in found.costs
    ]
    rows.append("Tokens are per call. Judgements that are in the ledger cost nothing.")
    return rows


def caps(found: Forecast, services: StackConfig, judge: str, run: str) -> list[str]:
    """For each cap whether the money lasts, and if not, about how long."""
    if not found.costs:
        return []
    left = asyncio.run(_left(judge, run))
    rows = [] if left is not None else [f"{judge} is not up: the caps come from the settings."]
    names = "".join(f"{cost.name:>14}" for cost in found.costs)
    rows.append(f"{f'money lasts for, of {found.plan.units:,}':<30}{names}")
    for scope, usd in (left or _whole(services.judge.budget)).items():
        if usd is None:
            rows.append(f"{scope}: none is set")
            continue
        for when, peak in (("off-peak", False), ("peak", True)):
            ends = (found.reached_at(usd, cost, peak=peak) for cost in found.costs)
            cells = "".join(f"{_end(found, end):>14}" for end in ends)
            rows.append(f"{f'{scope} US$ {usd:.2f}, {when}':<30}{cells}")
    return rows


def _end(found: Forecast, unit: int | None) -> str:
    return "all" if unit is None else f"{found.plan.unit} {unit:,}"


def _whole(budget: BudgetSettings) -> dict[str, float | None]:
    return {"run's cap": budget.per_run_usd, "day's cap": budget.per_day_usd}


async def _left(url: str, run: str) -> dict[str, float | None] | None:
    """What is left of each cap, in US dollars; None if no judge answers."""
    from galen.errors import Unavailable
    from judge.client import JudgeClient

    async with JudgeClient(url, key=os.environ.get("GALEN_KEY"), deadline_s=5.0) as judge:
        try:
            state = await judge.budget(run)
        except Unavailable:
            return None
    names = {"run": "run's cap", "day": "day's cap"}
    return {names[b.scope.partition(":")[0]]: b.left_usd for b in state.balances}
