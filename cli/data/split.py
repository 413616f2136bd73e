"""`galen data split`: files into train, dev, test, gold and red team."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def split(
    files: Annotated[list[Path], typer.Argument(metavar="FILE…", help="Any common format.")],
    out: Annotated[Path, typer.Option(help="The folder to write to.")],
    against: Annotated[
        list[Path],
        typer.Option(metavar="FILE", help="A test set: rows that share 13 characters go."),
    ] = [],  # noqa: B006
    gold: Annotated[int, typer.Option(min=0, help="Rows of dev and test in it.")] = 100,
) -> None:
    """Split rows 80/10/10 by risk and source, near-duplicates together, the same in any order.

    Ends with 0 if every row was read, with 1 if some were left out, with 2 for an unusable file.
    """
    from cli.data import usable
    from trainer.data.split.files import split_files

    with usable(*files, *against):
        report = split_files(files, out, against, gold)
    for problem in report.problems:
        typer.echo(problem)
    for part, risks in report.parts.items():
        levels = ", ".join(f"{count:,} {risk}" for risk, count in sorted(risks.items()))
        typer.echo(f"{part + ':':<10}{risks.total():,} rows ({levels})")
    for name, count in report.contaminated.items():
        typer.echo(f"Left out: {count:,} rows share a run with {name}: contamination.jsonl")
    if report.problems:
        typer.echo(f"Left out: {len(report.problems):,} rows, named above")
    typer.echo(f"Written:  {out}")
    if report.problems:
        raise typer.Exit(1)
