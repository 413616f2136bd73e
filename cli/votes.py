"""`galen votes`: how strong models are by people's votes."""

from __future__ import annotations

import asyncio
from typing import Annotated

import typer


def register(app: typer.Typer) -> None:
    app.command()(votes)


def votes(
    judge: Annotated[
        str | None, typer.Option(help="The judge's address; else the one that is up here.")
    ] = None,
) -> None:
    """Rank models by the votes that the judge has stored: Bradley-Terry strengths with intervals.

    The same votes become training rows by galen data votes. The key is read from GALEN_KEY.
    """
    from cli import state
    from cli.data.votes import fetch
    from trainer.evaluate.votes import standings

    cast = asyncio.run(fetch(judge or state.judge_url()))
    typer.echo(f"{len(cast)} votes")
    for each in standings(cast):
        typer.echo(
            f"  {each.model:<28} {each.strength:+.2f} [{each.low:+.2f}, {each.high:+.2f}]  "
            f"won/tied/lost {each.won}/{each.tied}/{each.lost}"
        )
    typer.echo(
        "Strengths are natural logarithms: +0.7 more wins two votes of three. Models whose "
        "intervals overlap are not told apart."
    )
