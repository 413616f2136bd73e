"""`galen data rl-prompts`: questions for PPO, dangerous ones first."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from trainer.data.rl_prompts import Chosen


def rl_prompts(
    files: Annotated[list[Path], typer.Argument(metavar="FILE…", help="Any common format.")],
    out: Annotated[Path, typer.Option(help="The prompts, as JSON lines.")],
    red_team: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Questions to draw three times each.")
    ] = None,
    rows: Annotated[int, typer.Option(min=1, help="Rows in all.")] = 2000,
) -> None:
    """Choose questions for RL: the red team three times, the rest 60 % high risk, the best first.

    Writes a picture of the statistics beside OUT. Ends with 1 if rows were left out.
    """
    from cli.data import usable
    from trainer.data import rl_prompts as prompts
    from trainer.data.output import writing
    from trainer.data.problems import Problem
    from trainer.data.split.files import tagged

    problems: list[str] = []
    red = []
    chooser = prompts.Chooser(rows)
    sources = [*files, *([red_team] if red_team else [])]
    with usable(*sources, out=out):
        for path, _, example in tagged(sources):
            if isinstance(example, Problem):
                problems.append(f"{path}: {example}")
            elif path == red_team or example.meta.get("safety_concern"):
                red.append(example)
            else:
                chooser.show(example)
        chosen = chooser.choose(red)
        with writing(out) as write:
            for row in chosen.rows:
                write(row)
        picture = out.with_suffix(".png")
        prompts.draw(chosen, picture)
    for problem in problems:
        typer.echo(problem)
    show(chosen)
    typer.echo(f"Written:  {len(chosen.rows):,} rows to {out}, the picture to {picture}")
    if problems:
        raise typer.Exit(1)


def show(chosen: Chosen) -> None:
    """The statistics as a table, and what the input could not give."""
    from rich.console import Console
    from rich.table import Table

    from trainer.data import rl_prompts as prompts

    table = Table("RL prompts", "rows", "share", box=None, pad_edge=False)
    for cells in prompts.table(chosen):
        table.add_row(*cells)
    Console().print(table)
    if chosen.shortage:
        typer.echo(chosen.shortage)
