"""`galen extend-tokenizer`: domain words as tokens of a model."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def register(app: typer.Typer) -> None:
    app.command()(extend_tokenizer)


def extend_tokenizer(
    model: Annotated[Path, typer.Argument(help="Folder of the model.")],
    words: Annotated[Path, typer.Argument(help="A word list: one a line, # for comments.")],
    out: Annotated[Path, typer.Argument(help="Folder to write the extended model to.")],
    text: Annotated[
        Path | None, typer.Option(help="A text of the domain: show tokens a character on it.")
    ] = None,
) -> None:
    """Add domain words to a model's tokenizer, with the mean of their pieces as embeddings.

    Train the new model on texts with the words before you use it: galen train with `pretrain`.
    Adapters and versions of the old model do not fit the new one.
    """
    from transformers import AutoTokenizer

    from trainer import extend_tokenizer as extending

    found = extending.extend(model, extending.read_words(words), out)
    typer.echo(f"Added:   {len(found.added)} words; {found.tokens_after} tokens in all")
    if found.known:
        typer.echo(f"Left:    {len(found.known)} words that were single tokens already")
    if text is not None:
        sample = text.read_text("utf-8")
        before, after = (
            extending.tokens_per_character(AutoTokenizer.from_pretrained(folder), sample)
            for folder in (model, out)
        )
        typer.echo(f"Tokens:  {before:.4f} a character before, {after:.4f} now, on {text}")
    typer.echo(f"Model:   {out}")
    typer.echo("Next:    galen train with a recipe whose `model` is that folder")
