"""`galen compare`: models side by side, in one report."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.evaluate import (
    OUT,
    AllowMock,
    Concurrency,
    Data,
    Judge,
    Limit,
    Out,
    Server,
    plan_of,
    watching,
)
from galen import DISCLAIMER_ZH

if TYPE_CHECKING:
    from trainer.evaluate.differences import SuiteComparison

REPORT = "comparison.html"


def register(app: typer.Typer) -> None:
    app.command()(compare)


def compare(
    models: Annotated[
        list[str],
        typer.Argument(
            metavar="MODEL...",
            help="The baseline and one or more candidates, named as for evaluate; or a recipe.",
        ),
    ],
    suite: Annotated[
        list[str],
        typer.Option("--suite", metavar="NAME|FILE", help="A suite's name or file; repeatable."),
    ] = [],  # noqa: B006
    data: Data = [],  # noqa: B006
    overrides: Annotated[
        list[str],
        typer.Option("--set", metavar="FIELD=VALUE", help="Override a field of suite or recipe."),
    ] = [],  # noqa: B006
    server: Server = None,
    judge: Judge = None,
    out: Out = OUT,
    limit: Limit = None,
    concurrency: Concurrency = 32,
    allow_mock: AllowMock = False,
    pairwise: Annotated[
        bool, typer.Option(help="Also have the judge compare answer by answer, in both orders.")
    ] = False,
) -> None:
    """Compare models on the same prompts, seeds and judge: intervals, wins, answers side by side.

    The report is one page that stands alone, beside it Markdown and JSON.
    """
    if len(models) == 1 and Path(models[0]).suffix in (".yaml", ".yml"):
        _by_recipe(Path(models[0]), overrides)
        return
    if not suite:
        raise typer.BadParameter("name what they are compared on: --suite red-team")
    from trainer.evaluate import compare as comparing

    plan = plan_of(models, suite, data, overrides, server, judge, out, limit, concurrency)
    folder = comparing.folder_of(plan)
    with watching(out) as watch:
        plan = replace(plan, allow_mock=allow_mock)
        comparisons = comparing.compare(plan, folder, watch, by_pairs=pairwise)
    _say(comparisons, folder)


def _by_recipe(path: Path, overrides: list[str]) -> None:
    from trainer import recipes

    asked = recipes.load(path, overrides)
    if not isinstance(asked, recipes.CompareRecipe):
        raise typer.BadParameter(f"{path} is a stage to train: galen train {path}")
    from trainer.evaluate.compare import compare_by_recipe

    with watching(asked.folder) as watch:
        comparisons = compare_by_recipe(asked, watch)
    _say(comparisons, asked.folder)
    typer.echo("Next:    galen chat")


def _say(comparisons: list[SuiteComparison], folder: Path) -> None:
    from trainer.evaluate.report import summary

    typer.echo(DISCLAIMER_ZH)
    for line in summary(comparisons):
        typer.echo(line)
    typer.echo(f"\nReport:  {folder / REPORT}")
