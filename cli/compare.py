"""`galen compare`: models side by side."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def register(app: typer.Typer) -> None:
    app.command()(compare)


def compare(
    recipe: Annotated[Path, typer.Argument(help="A comparison's recipe.")],
    overrides: Annotated[
        list[str], typer.Option("--set", metavar="FIELD=VALUE", help="Override a field.")
    ] = [],  # noqa: B006
) -> None:
    """Compare two policy versions on held-out prompts under one rubric."""
    from trainer import recipes

    asked = recipes.load(recipe, overrides)
    if not isinstance(asked, recipes.CompareRecipe):
        raise typer.BadParameter(f"{recipe} is a stage to train: galen train {recipe}")
    from trainer.evaluate.compare import compare as run

    typer.echo(run(asked).summary())
    typer.echo(f"\nResults: {asked.folder}\nNext:    galen chat")
