"""`galen run`: a pipeline of stages."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from trainer.pipeline.chain import Chain


def register(app: typer.Typer) -> None:
    app.command()(run)


def run(
    pipeline: Annotated[Path, typer.Argument(help="A file: configs/recipes/<pack>/pipeline.yaml")],
    overrides: Annotated[
        list[str], typer.Option("--set", metavar="FIELD=VALUE", help="Override a field.")
    ] = [],  # noqa: B006
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what would run, and do nothing.")
    ] = False,
) -> None:
    """Run the stages of a pipeline: finished ones are skipped, changed ones run again with what
    follows them."""
    from trainer.pipeline import chain as chains

    chain = chains.load(pipeline, overrides)
    _show_stages(chain)
    if dry_run:
        for each in chains.lacking(chain):
            typer.echo(f"not there: {each}")
        return
    # Imported after the recipes are checked, since a stage loads torch.
    from trainer.pipeline import picture
    from trainer.pipeline.effect import summary
    from trainer.pipeline.run import run as run_all

    effects = run_all(chain, lambda name, what: typer.echo(f"{name}: {what}"))
    title = f"{chain.recipe.pipeline}, on held-out rows"
    picture.draw(chain.folder / "pipeline.png", title, effects)
    typer.echo(f"\n{summary(effects)}")
    typer.echo(f"\nResults: {chain.folder / 'pipeline.json'}")
    typer.echo(f"Picture: {chain.folder / 'pipeline.png'}")
    policies = [link.name for link in chain.links if link.recipe.stage != "reward"]
    typer.echo(f"Next:    galen publish run:{policies[-1]}" if policies else "Next:    galen runs")


def _show_stages(chain: Chain) -> None:
    from rich.console import Console
    from rich.table import Table

    from trainer.pipeline.chain import standings

    table = Table("stage", "run", "from", "state", box=None, pad_edge=False)
    for each in standings(chain):
        table.add_row(each.link.recipe.stage, each.link.name, each.link.origin, str(each))
    Console().print(table)
