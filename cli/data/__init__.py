"""`galen data …`: from any file to clean, safe, reproducible training sets.

One module a command, listed here. Heavy imports stay inside the commands.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import typer

from cli.data import (
    convert,
    deidentify,
    distil,
    filter,
    prepare,
    rl_prompts,
    sample,
    show,
    split,
    tag,
    validate,
    votes,
)
from galen.errors import GalenError, InvalidInput

app = typer.Typer(help="Prepare, check, convert and look at data.", no_args_is_help=True)
app.command()(prepare.prepare)
app.command()(validate.validate)
app.command()(convert.convert)
app.command()(show.show)
app.command()(deidentify.deidentify)
app.command()(tag.tag)
app.command()(distil.distil)
app.command("filter")(filter.filter_rows)
app.command()(sample.sample)
app.command()(votes.votes)
app.command()(votes.pairs)
app.command()(split.split)
app.command()(rl_prompts.rl_prompts)

UNUSABLE = 2
"""Exit status for a file that cannot be used at all; 1 is for bad rows in it."""


@contextmanager
def usable(*sources: Path, out: Path | None = None) -> Iterator[None]:
    """Ends the command with status 2 if a file cannot be used. Refuses to write over the input."""
    try:
        if out is not None and out.resolve() in [source.resolve() for source in sources]:
            raise InvalidInput(f"{out}: would be written over itself; name another file")
        yield
    except GalenError as error:
        typer.secho(f"galen: {error.message}", fg=typer.colors.RED, err=True)
        raise typer.Exit(UNUSABLE) from None
