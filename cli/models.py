"""`galen models`: base models into one folder, checked."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(help="Base models: bring them here.", no_args_is_help=True)


@app.callback()
def _group() -> None:
    """Base models: bring them here."""


@app.command()
def get(
    name: Annotated[
        str, typer.Argument(help="Such as Qwen/Qwen2.5-0.5B-Instruct, or a folder that you have.")
    ],
    hub: Annotated[str, typer.Option(help="huggingface or modelscope")] = "huggingface",
    models: Annotated[Path, typer.Option(help="The folder of models.")] = Path("models"),
) -> None:
    """Download a model, or link a folder, and check that it is whole and can be served."""
    from server.engines import model_folder
    from trainer import models as ours
    from trainer.hub import NAMES

    if hub not in NAMES:
        raise typer.BadParameter(f"{hub!r} is none of {', '.join(NAMES)}")
    folder = ours.get(name, models, hub)
    if lack := model_folder.check(folder):
        typer.echo(lack)
    typer.echo(f"Model:   {folder}")
    typer.echo(
        f"Next:    galen train configs/recipes/laptop/sft.yaml --set model={folder} --dry-run"
    )
