"""`galen data prepare`: sources of data into training sets, by a recipe."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.data import rl_prompts

if TYPE_CHECKING:
    from trainer.data.preparing.prepare import Outcome
    from trainer.recipes.data import DataRecipe


def prepare(
    recipe: Annotated[Path, typer.Argument(help="A recipe: configs/recipes/<pack>/data.yaml")],
    overrides: Annotated[
        list[str], typer.Option("--set", metavar="FIELD=VALUE", help="Override a field.")
    ] = [],  # noqa: B006
) -> None:
    """Make training sets: read, check, clean, de-identify, tag, mix, split, and a data card."""
    from trainer import recipes

    asked = recipes.load_data(recipe, overrides)
    from trainer.data.preparing.card import card
    from trainer.data.preparing.prepare import prepare as run

    outcome = _followed(lambda say: run(asked, say))
    page = asked.out / "data_card.md"
    page.write_text(card(asked, outcome), "utf-8")
    _say(asked, outcome, page)


def _followed(run: object) -> Outcome:
    """Run with the step and the rows done on a terminal."""
    from rich.console import Console

    console = Console(stderr=True, highlight=False)
    with console.status("preparing data… 正在准备数据") as status:

        def say(step: str, rows: int) -> None:
            status.update(f"{step}: {rows:,} rows" if rows else step)

        return run(say)  # type: ignore[operator, no-any-return]


def _say(recipe: DataRecipe, outcome: Outcome, page: Path) -> None:
    dropped = sum(each.total() for each in outcome.dropped.values())
    typer.echo(f"{outcome.read.total():,} rows read, {dropped:,} left out")
    for part, risks in outcome.parts.items():
        levels = ", ".join(f"{count:,} {risk}" for risk, count in sorted(risks.items()))
        typer.echo(f"  {recipe.out / part}.jsonl: {risks.total():,} ({levels})")
    if chosen := outcome.rl_prompts:
        rl_prompts.show(chosen)
    typer.echo(f"Card:    {page}")
    typer.echo(f"Next:    galen data show {recipe.out / 'train.jsonl'}")
