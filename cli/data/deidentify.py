"""`galen data deidentify`: surrogates in place of personal data."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def deidentify(
    source: Annotated[Path, typer.Argument(metavar="IN", help="Any common format.")],
    out: Annotated[Path, typer.Argument(metavar="OUT", help="A .jsonl or .json file.")],
    seed: Annotated[int, typer.Option(help="Another seed gives other surrogates.")] = 17,
) -> None:
    """Replace names, numbers, addresses and dates of birth; count them by kind.

    Rules find most of it, not all: look at the rows before you pass them on.
    """
    from collections import Counter

    from cli.data import usable
    from cli.data.progress import followed
    from trainer.data import deidentify as rules
    from trainer.data.output import writing
    from trainer.data.problems import Problem
    from trainer.data.reader import DataFile

    counts: Counter[str] = Counter()
    bad = rows = 0
    with usable(source, out=out), writing(out) as write:
        file, surrogates = DataFile(source), rules.Surrogates(seed)
        for _, row, example in followed(file, file.entries()):
            if isinstance(example, Problem):
                typer.secho(f"{source}: {example}", fg=typer.colors.RED, err=True)
                bad += 1
                continue
            clean, found = rules.deidentify(example, surrogates)
            write(file.format_of(row).write(clean))
            counts, rows = counts + found, rows + 1
    for kind, count in counts.most_common():
        typer.echo(f"{kind:<12}{count:>8,}")
    typer.echo(f"{out}: {rows:,} rows" + (f"; {bad:,} could not be read" if bad else ""))
    typer.echo(f"Next:    galen data show {out}")
    if bad:
        raise typer.Exit(1)
