"""`galen data sample`: questions by type, and a smaller set of them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def sample(
    source: Annotated[Path, typer.Argument(metavar="IN", help="Questions in any known format.")],
    out: Annotated[Path, typer.Argument(metavar="OUT", help="Where to write, as JSON lines.")],
    rows: Annotated[
        int | None, typer.Option(min=1, help="Rows to take; without it all of them.")
    ] = None,
    even: Annotated[
        bool, typer.Option(help="As many of each type, in place of its share of the file.")
    ] = False,
    seed: Annotated[int, typer.Option(help="Another seed takes other rows.")] = 0,
) -> None:
    """Find each finance question's type, say why, and take a stratified sample."""
    from cli.data import usable
    from trainer.data.distillation.sample import write_sample

    with usable(source, out=out):
        found = write_sample(source, out, rows, even=even, seed=seed)
    typer.echo(f"{'type':<14}{'found':>8}{'taken':>8}")
    for name, count in found.found.items():
        typer.echo(f"{name:<14}{count:>8}{found.taken[name]:>8}")
    typer.echo(f"Written to {out}; the column type_reason says why")
