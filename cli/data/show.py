"""`galen data show`: rows as a model will see them."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rich.text import Text

    from trainer.data.reader import DataFile
    from trainer.data.show import Sequenced, Shown

ROWS = 3
COLOURS = {
    "system": "magenta",
    "user": "blue",
    "thought": "yellow",
    "assistant": "green",
    "template": "dim",
}
LEARNT = "underline"


def show(
    source: Annotated[Path, typer.Argument(metavar="FILE", help="Any common format.")],
    model: Annotated[
        Path | None, typer.Option(help="A model's folder: shows its template and its tokens.")
    ] = None,
    rows: Annotated[int, typer.Option(min=1, help="How many rows.")] = ROWS,
    line: Annotated[
        int | None, typer.Option(min=1, help="Begin with this line, or row of a table.")
    ] = None,
    html: Annotated[
        Path | None, typer.Option(metavar="OUT", help="Write a page for the browser instead.")
    ] = None,
) -> None:
    """Print rows as the model will see them: roles in colour, what is learnt underlined."""
    from cli.data import usable
    from trainer.data.reader import DataFile

    with usable(source, out=html):
        file = DataFile(source)
        shown = list(itertools.islice(_shown(file, model, line or 1), rows))
        if html:
            _write(html, shown, file, model)
        else:
            _print(shown, file)
    if html:
        typer.echo(f"Page:     {html}")
    elif model is None:
        typer.echo(f"Next:     galen data show {source} --model FOLDER shows the tokens")
    else:
        typer.echo(f"Next:     galen data show {source} --model {model} --html rows.html")


def _shown(file: DataFile, model: Path | None, first: int) -> Iterator[Shown]:
    """The rows that can be read, from line `first` on; the others are named."""
    from trainer.data.checking.checks import check
    from trainer.data.problems import BadRow, Problem
    from trainer.data.show import show

    tokenizer = None
    if model:
        from trainer.model import load_tokenizer

        tokenizer = load_tokenizer(model)
    for place, example in file.examples():
        if not place[-1].isdigit() or int(place.split()[-1]) >= first:
            try:
                if isinstance(example, Problem):
                    raise BadRow(example.field, example.reason, example.remedy)
                check(example)
            except BadRow as error:
                typer.secho(f"{file.path}: {error.at(place)}", fg=typer.colors.RED, err=True)
                continue
            yield show(place, example, tokenizer)


def _write(out: Path, shown: list[Shown], file: DataFile, model: Path | None) -> None:
    from galen import disk
    from trainer.data.show import page

    made = page(
        shown, title=file.path.name, read_as=file.describe(), model=model.name if model else ""
    )
    disk.replace(out, made.encode())


def _print(shown: list[Shown], file: DataFile) -> None:
    from rich.console import Console
    from rich.rule import Rule

    console = Console(highlight=False, soft_wrap=True)
    for row in shown:
        console.print(Rule(f"{row.place} · {row.example.kind}", align="left"))
        for sequence in row.sequences:
            if counts := _counts(sequence):
                console.print(counts, style="bold")
            console.print(_text(sequence, in_colour=console.is_terminal))
    console.print(Rule())
    typer.echo(f"Read as:  {file.describe()}")
    if console.is_terminal:
        names = ", ".join(f"[{colour}]{part}[/]" for part, colour in COLOURS.items())
        console.print(f"Colours:  {names}; [{LEARNT}]learnt[/]")
    else:
        typer.echo("Marks:    what stands in ⟦ ⟧ is learnt")


def _counts(sequence: Sequenced) -> str:
    counts = f"{sequence.tokens} tokens, {sequence.learnt} learnt" if sequence.tokens else ""
    return ": ".join(filter(None, [sequence.name, counts]))


def _text(sequence: Sequenced, *, in_colour: bool) -> Text:
    from rich.text import Text

    text = Text()
    for learnt, run in itertools.groupby(sequence.pieces, key=lambda piece: piece.learnt):
        text.append("⟦" if learnt and not in_colour else "")
        for piece in run:
            text.append(piece.text, f"{COLOURS[piece.part]}{f' {LEARNT}' if learnt else ''}")
        text.append("⟧" if learnt and not in_colour else "")
    return text
