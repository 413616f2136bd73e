"""`galen predict`: a file of questions in, a file of answers out."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from galen import DISCLAIMER_EN, DISCLAIMER_ZH

if TYPE_CHECKING:
    from trainer.predict import Prediction, Report

DEADLINE_S = 600.0
"""Time limit of one answer; a long one on a slow machine takes minutes."""


def register(app: typer.Typer) -> None:
    app.command()(predict)


def predict(
    source: Annotated[
        Path, typer.Argument(metavar="IN", help="JSON lines, or .txt with one question a line.")
    ],
    out: Annotated[Path, typer.Argument(metavar="OUT", help="The answers, as JSON lines.")],
    server: Annotated[
        str | None, typer.Option(help="The policy server; else the one that is up here.")
    ] = None,
    model: Annotated[str, typer.Option(help="policy, policy@<version> or base")] = "policy",
    system: Annotated[
        str | None, typer.Option(help="System message for rows that have none.")
    ] = None,
    max_tokens: Annotated[int, typer.Option(min=1)] = 1024,
    temperature: Annotated[float, typer.Option(min=0.0, max=2.0)] = 0.7,
    seed: Annotated[int | None, typer.Option(help="The same for every row.")] = None,
    concurrency: Annotated[int, typer.Option(min=1, max=512, help="Rows asked at once.")] = 16,
) -> None:
    """Ask the policy every question of a file. If it was stopped, the same command goes on.

    The server's key, if it wants one, is read from GALEN_KEY.
    """
    from cli import state
    from trainer.predict import Options, Prediction

    options = Options(
        model=model, system=system, max_tokens=max_tokens, temperature=temperature, seed=seed
    )
    with Prediction(source, out, options) as prediction:
        typer.echo(f"{DISCLAIMER_ZH}\n{DISCLAIMER_EN}")
        if prediction.known:
            typer.echo(f"{prediction.known} of {len(prediction.rows)} rows are answered already")
        try:
            asyncio.run(_ask(prediction, server or state.server_url(), concurrency))
        except KeyboardInterrupt:
            typer.echo(
                f"\nStopped: {prediction.known} of {len(prediction.rows)} rows are answered and "
                "kept. Run the same command again to go on."
            )
            raise SystemExit(130) from None
        report = prediction.write()
    _say(report, out)
    if report.failed:
        raise typer.Exit(1)


async def _ask(prediction: Prediction, server: str, concurrency: int) -> None:
    from rich.console import Console

    from cli.progress import rows_bar
    from server.client import PolicyClient

    key = os.environ.get("GALEN_KEY")
    client = PolicyClient(server, key=key, connections=concurrency, deadline_s=DEADLINE_S)
    async with client:
        with rows_bar(Console(highlight=False)) as bar:
            task = bar.add_task("", total=len(prediction.rows), completed=prediction.known)
            await prediction.ask(client, concurrency, lambda: bar.advance(task))


def _say(report: Report, out: Path) -> None:
    failed = f", {report.failed} failed (their row says why: error)" if report.failed else ""
    writers = ", ".join(f"{model} ({count})" for model, count in sorted(report.by_model.items()))
    following = (
        "the same command again asks the failed rows once more"
        if report.failed
        else f"galen judge score {out} {out.with_stem(f'{out.stem}-judged')}"
    )
    typer.echo(f"Answered {report.answered} rows{failed}")
    if writers:
        typer.echo(f"Written by: {writers}")
    typer.echo(f"Answers:    {out}")
    typer.echo(f"Next:       {following}")
