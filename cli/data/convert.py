"""`galen data convert`: a file's rows in another format."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Annotated, Literal

import typer

Name = Literal["rows", "alpaca", "sharegpt", "messages", "pairs", "preference", "unpaired", "text"]


def convert(
    source: Annotated[Path, typer.Argument(metavar="IN", help="Any file that `validate` reads.")],
    out: Annotated[Path, typer.Argument(metavar="OUT", help=".jsonl, or .json for one array.")],
    to: Annotated[Name, typer.Option(help="The format to write.")],
    source_format: Annotated[
        Name | None, typer.Option("--from", help="The format of IN, if it is not recognised.")
    ] = None,
    system: Annotated[
        str | None, typer.Option(help="System message for rows that have none.")
    ] = None,
) -> None:
    """Write the rows of a file in another format. What that format cannot hold is said by row.

    Ends with 0 if every row was written, with 1 if some were not, with 2 for an unusable file.
    """
    from cli.data import usable
    from cli.data.progress import followed
    from trainer.data import formats
    from trainer.data.convert import convert as converted
    from trainer.data.output import writing
    from trainer.data.problems import BadRow, Problem
    from trainer.data.reader import DataFile

    written, refused, lost = 0, 0, Counter[str]()
    with usable(source, out=out):
        file = DataFile(source, formats.BY_NAME[source_format] if source_format else None)
        with writing(out) as write:
            for place, row, example in followed(file, file.entries()):
                try:
                    if isinstance(example, Problem):
                        raise BadRow(example.field, example.reason, example.remedy)
                    made, missing = converted(row, example, formats.BY_NAME[to], system)
                except BadRow as error:
                    refused += 1
                    typer.echo(f"{source}: {error.at(place)}")
                    continue
                write(made)
                written += 1
                lost.update(missing)
    typer.echo(f"Read:     {file.describe()}")
    for reason, count in lost.most_common():
        typer.echo(f"Lost:     {reason} ({count} rows)")
    if refused:
        typer.echo(f"Left out: {refused} rows, named above")
    typer.echo(f"Written:  {written} rows to {out}")
    typer.echo(f"Next:     galen data show {out}")
    if refused:
        raise typer.Exit(1)
