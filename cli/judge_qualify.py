"""`galen judge qualify`: examine the running judge's teacher before a run relies on it."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from judge.examination.examiner import Examination

OUT = Path("runs/qualification")


def qualify(
    labels: Annotated[Path, typer.Argument(help="JSON lines of labelled answers.")],
    rubric: Annotated[str, typer.Option(help="The rubric to examine under.")] = "medical-safety",
    judge: Annotated[
        str | None, typer.Option(help="The judge's address; by default the one that runs here.")
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder for the report.")] = OUT,
    limit: Annotated[
        int | None,
        typer.Option(min=1, help="Use only the first N answers: a trial, not sent to the judge."),
    ] = None,
    once: Annotated[
        bool, typer.Option("--once", help="Do nothing if this teacher was examined before.")
    ] = False,
    sitting: Annotated[int, typer.Option(min=0, help="A new number asks everything anew.")] = 0,
) -> None:
    """Examine the judge's teacher against labels, against itself and under attack."""
    from cli import state
    from galen import DISCLAIMER_EN

    url = judge or state.judge_url()
    if once and (earlier := asyncio.run(_earlier_result(url, rubric))):
        typer.echo(earlier)
        return
    # Imported late, since it loads matplotlib.
    from judge.examination.report import summary, write

    examination = asyncio.run(_examine(url, rubric, labels, limit, sitting))
    paths = write(examination, out)
    for line in summary(examination):
        typer.echo(line)
    for path in paths:
        typer.echo(f"Report: {path}")
    typer.echo(f"Next:   {_next(examination, labels)}")
    typer.echo(DISCLAIMER_EN)


async def _examine(
    url: str, rubric: str, labels: Path, limit: int | None, sitting: int
) -> Examination:
    from rich.progress import Progress

    from galen import digest
    from judge.attacks.canaries import load_canaries
    from judge.client import JudgeClient
    from judge.examination.examiner import Examiner, read_labels

    rows, canaries = read_labels(labels)[:limit], load_canaries(rubric)
    key = os.environ.get("GALEN_KEY")
    with Progress() as progress:
        task = progress.add_task("examining", total=2 * len(rows) + len(canaries))
        # The judge's own limits stop a teacher that hangs; one on a CPU may take half an hour.
        async with JudgeClient(url, key=key, deadline_s=3600.0) as client:
            examiner = Examiner(
                client, rubric, sitting, lambda count: progress.advance(task, count)
            )
            return await examiner.examine(
                rows, canaries, digest.of_file(labels), keep=limit is None
            )


async def _earlier_result(url: str, rubric: str) -> str | None:
    """The teacher's latest result as a line; None if it still needs an examination."""
    from judge.client import JudgeClient

    async with JudgeClient(url, key=os.environ.get("GALEN_KEY")) as client:
        examinee = await client.examinee(rubric)
    if not examinee.needed:
        return f"{rubric} asks no teacher: there is nothing to examine."
    if examinee.latest is None:
        return None
    outcome = "passed" if examinee.latest.passed else "not passed"
    return f"teacher           {examinee.provider} under {rubric}: {outcome} (examined before)"


def _next(examination: Examination, labels: Path) -> str:
    """The likely next command."""
    examinee = examination.examinee
    if not examination.is_kept:
        return f"galen judge qualify {labels} --rubric {examinee.rubric}"
    if examination.qualification.passed:
        return f"galen train RECIPE, one whose services.rubric is {examinee.rubric}"
    if examinee.provider == "mock":
        return "set DEEPSEEK_API_KEY for the judge, restart it, and examine that teacher"
    return "another teacher (JUDGE_MODEL) or another prompt, then the same command again"
