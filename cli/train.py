"""`galen train` and `merge`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.farewell import in_environment

if TYPE_CHECKING:
    from trainer.recipes import Recipe


def register(app: typer.Typer) -> None:
    app.command()(train)
    app.command()(merge)


def train(
    recipe: Annotated[Path, typer.Argument(help="A recipe: configs/recipes/<pack>/<stage>.yaml")],
    overrides: Annotated[
        list[str], typer.Option("--set", metavar="FIELD=VALUE", help="Override a field.")
    ] = [],  # noqa: B006
) -> None:
    """Run a recipe, or resume it where it stopped."""
    from trainer import recipes

    asked = recipes.load(recipe, overrides)
    if isinstance(asked, recipes.CompareRecipe):
        raise typer.BadParameter(f"{recipe} is a comparison: galen compare {recipe}")
    # Imported after the recipe is checked, since this loads torch.
    from trainer.train import train as run

    folder = run(asked)
    typer.echo(f"\nResults: {folder}")
    typer.echo(f"Curves:  {in_environment('tensorboard')} --logdir {asked.folder / 'tensorboard'}")
    typer.echo(f"Next:    {_next_command(recipe, asked)}")


def merge(
    adapter: Annotated[Path, typer.Argument(help="Folder of a LoRA adapter.")],
    out: Annotated[Path, typer.Argument(help="Folder to write the merged model to.")],
    base: Annotated[
        Path | None, typer.Option(help="The base's folder; else the one that the adapter names.")
    ] = None,
) -> None:
    """Merge a LoRA adapter into the model that it was trained on."""
    from trainer.merge import merge as run

    typer.echo(f"Merged model: {run(adapter, out, base)}\nNext:    galen publish NAME {out}")


def _next_command(path: Path, recipe: Recipe) -> str:
    """The likely next command, about the run that was just made."""
    from galen.errors import GalenError
    from trainer import recipes

    sibling = path.with_name({"sft": "ppo.yaml", "ppo": "compare.yaml"}[recipe.stage])
    name = f"run:{recipe.run}"
    try:
        follower = recipes.load(sibling) if sibling.is_file() else None
    except GalenError:  # the next command reports it
        follower = None
    if isinstance(follower, recipes.PpoRecipe) and follower.model == recipe.folder / "final":
        return f"galen train {sibling}"
    if isinstance(follower, recipes.CompareRecipe):
        command = f"galen compare {sibling}"
        if follower.candidate == name:
            return command
        return f"{command} --set run={recipe.run}-compare --set candidate={name}"
    return f"galen publish {name}" if recipe.stage == "sft" else "galen chat"
