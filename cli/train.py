"""`galen train` and `merge`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

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
    typer.echo(f"\nResults: {folder}\nNext:    {_next_command(recipe, asked)}")


def merge(
    adapter: Annotated[Path, typer.Argument(help="Folder of a LoRA adapter.")],
    out: Annotated[Path, typer.Argument(help="Folder to write the merged model to.")],
    base: Annotated[
        Path | None, typer.Option(help="The base's folder; else the one that the adapter names.")
    ] = None,
) -> None:
    """Merge a LoRA adapter into the model that it was trained on."""
    from trainer.merge import merge as run

    typer.echo(f"Merged model: {run(adapter, out, base)}")


def _next_command(path: Path, recipe: Recipe) -> str:
    """The likely next command."""
    sibling = path.with_name({"sft": "ppo.yaml", "ppo": "compare.yaml"}[recipe.stage])
    if not sibling.is_file():
        return "galen chat"
    return f"galen {'compare' if recipe.stage == 'ppo' else 'train'} {sibling}"
