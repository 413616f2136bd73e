"""`galen models`: base models into one folder, checked, and with words of a domain as tokens."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(help="Base models: bring them here, extend them.", no_args_is_help=True)


@app.callback()
def _group() -> None:
    """Base models: bring them here, extend them."""


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


@app.command()
def extend(
    model: Annotated[Path, typer.Argument(help="Folder of the model.")],
    words: Annotated[Path, typer.Argument(help="A word list: one a line, # for comments.")],
    out: Annotated[Path, typer.Argument(help="Folder to write the extended model to.")],
    text: Annotated[
        Path | None, typer.Option(help="A text of the domain: show tokens a character on it.")
    ] = None,
) -> None:
    """Add domain words to a model's tokenizer, with the mean of their pieces as embeddings.

    Train the new model on texts with the words before you use it, with the stage `pretrain`.
    Adapters and versions of the old model do not fit the new one.
    """
    from transformers import AutoTokenizer

    from galen.records import read_text_lines
    from trainer import extend_tokenizer as extending

    sample = "\n".join(read_text_lines(text)) if text is not None else ""
    found = extending.extend(model, extending.read_words(words), out)
    typer.echo(f"Added:   {len(found.added)} words; {found.tokens_after} tokens in all")
    if found.known:
        typer.echo(f"Left:    {len(found.known)} words that were single tokens already")
    if sample:
        before, after = (
            extending.tokens_per_character(AutoTokenizer.from_pretrained(folder), sample)
            for folder in (model, out)
        )
        typer.echo(f"Tokens:  {before:.4f} a character before, {after:.4f} now, on {text}")
    typer.echo(f"Model:   {out}")
    typer.echo("Next:    galen train with a recipe whose `model` is that folder")
