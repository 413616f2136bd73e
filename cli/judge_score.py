"""`galen judge score`: a file of answers in, a file of judged answers out."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Annotated, Literal

import typer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from galen.journal import Journal
    from trainer.score import Answered, Scores


def score(
    source: Annotated[
        Path,
        typer.Argument(metavar="IN", help="What `galen predict` wrote, or any rows with answers."),
    ],
    out: Annotated[Path, typer.Argument(metavar="OUT", help="The rows with their judgements.")],
    rubric: Annotated[
        str, typer.Option(help="medical, medical-safety, finance, …")
    ] = "medical-safety",
    judge: Annotated[str | None, typer.Option(help="The judge; else the one that is up.")] = None,
    teacher: Annotated[
        Literal["optional", "required", "off"],
        typer.Option(help="Whether the teacher must judge, may, or is not asked."),
    ] = "optional",
    run: Annotated[
        str | None, typer.Option(help="Keep the judgements at the judge under this name.")
    ] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="The first rows only.")] = None,
    concurrency: Annotated[int, typer.Option(min=1, max=256)] = 16,
) -> None:
    """Have the judge score every answer of a file. If it was stopped, the same command goes on.

    The judge's key, if it wants one, is read from GALEN_KEY.
    """
    from cli import state
    from trainer import score as scoring

    rows = scoring.read(source, limit)
    request = {"rubric": rubric, "teacher": teacher, "run": run}
    address = judge or state.judge_url()
    journal = asyncio.run(_ask(rows, (source, out), address, request, concurrency))
    scores = scoring.write(rows, out, journal)
    _say(scores, out)
    if scores.failed:
        raise typer.Exit(1)


async def _ask(
    rows: Sequence[Answered],
    kept_for: tuple[Path, Path],
    address: str,
    request: dict[str, str | None],
    concurrency: int,
) -> Journal:
    from rich.console import Console

    from cli.progress import rows_bar
    from judge.client import JudgeClient
    from trainer import score as scoring

    key = os.environ.get("GALEN_KEY")
    async with JudgeClient(address, key=key, connections=concurrency) as client:
        with rows_bar(Console(stderr=True, highlight=False)) as bar:
            task = bar.add_task("", total=len(rows))
            return await scoring.ask(
                rows, kept_for, client, request, concurrency, lambda: bar.advance(task)
            )


def _say(scores: Scores, out: Path) -> None:
    judged = len(scores.rewards)
    failed = f", {scores.failed} without a score (their row says why)" if scores.failed else ""
    typer.echo(f"Judged     {judged} answers{failed}")
    if judged:
        rewards = sorted(scores.rewards)
        typer.echo(
            f"Reward     mean {fmean(rewards):+.3f}, from {rewards[0]:+.3f} to {rewards[-1]:+.3f}"
        )
        providers = ", ".join(f"{name} ({count})" for name, count in scores.providers.most_common())
        mock = "  The teacher is a mock: its scores are no opinion." if "mock" in providers else ""
        typer.echo(f"By         {providers}; cost {scores.cost:.4f} USD{mock}")
        flags = ", ".join(f"{name} ({count})" for name, count in scores.flags.most_common())
        typer.echo(f"Flagged    {flags or 'none'}")
    typer.echo(f"Judgements {out}")
    typer.echo(f"Next:      head -n 1 {out}")
