"""`galen data filter`: distilled rows into those to learn, those to practise on, and a test set."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from trainer.data.distillation.filter import Filter, Limits, Rules

DEADLINE_S = 600.0
"""Time limit of one request, which holds several rows."""
FORM_AND_RESULT = "finance"
"""The rubric whose rules are applied."""


def filter_rows(
    source: Annotated[Path, typer.Argument(metavar="IN", help="Rows of galen data distil.")],
    out: Annotated[Path, typer.Option(metavar="FOLDER", help="Where to write the four files.")],
    no_judge: Annotated[bool, typer.Option("--no-judge", help="Apply the rules alone.")] = False,
    judge: Annotated[
        str | None, typer.Option(help="The judge's address; else the one that is up here.")
    ] = None,
    rubric: Annotated[str, typer.Option(help="The judge's rubric.")] = "finance-quality",
    least: Annotated[
        float, typer.Option(min=0.0, max=1.0, help="Least overall score of a good row.")
    ] = 0.7,
    concurrency: Annotated[int, typer.Option(min=1, max=64, help="Requests at once.")] = 8,
    allow_mock: Annotated[
        bool, typer.Option("--allow-mock", help="For a rehearsal with a judge without teacher.")
    ] = False,
) -> None:
    """Sort distilled rows by rules (form, right answer) and then by the judge (quality).

    Good rows go to sft.jsonl, the rest to rl.jsonl, a fifth of all to test.jsonl; rows that can be
    used for neither go to dropped.jsonl. filter_stats.json counts them. The judge's key, if it
    wants one, is read from GALEN_KEY.
    """
    from cli import state
    from trainer.data.distillation.filter import Filter, Limits

    work = Filter(source, out, _rules())
    if not no_judge:
        limits = Limits(rubric=rubric, least=least, allow_mock=allow_mock)
        asyncio.run(_judge(work, judge or state.judge_url(), limits, concurrency))
    _say(work.write(), out)


def _rules() -> Rules:
    """The judge's rules for finance, applied here: no judge has to run for them."""
    from judge.rubrics.rubric import RubricRegistry
    from judge.rules.registry import apply
    from judge.text.case import Case

    listed = RubricRegistry.load().get(FORM_AND_RESULT).file.rules

    def hits(question: str, response: str, gold: str) -> Sequence[str]:
        return [hit.rule for hit in apply(listed, Case(question, response, gold))]

    return hits


async def _judge(work: Filter, url: str, limits: Limits, concurrency: int) -> None:
    import os

    from rich.console import Console

    from cli.progress import rows_bar
    from judge.client import JudgeClient

    key = os.environ.get("GALEN_KEY")
    async with JudgeClient(url, key=key, connections=concurrency, deadline_s=DEADLINE_S) as client:
        with rows_bar(Console(stderr=True, highlight=False)) as bar:
            task = bar.add_task("", total=work.left)
            await work.judge(client, limits, concurrency, lambda more: bar.advance(task, more))


def _say(stats: dict[str, Any], out: Path) -> None:
    for name, count in stats["files"].items():
        typer.echo(f"{name:<16}{count:>8}")
    for reason, count in stats["reasons"].items():
        typer.echo(f"  {reason}: {count}")
    typer.echo(f"Written to {out}; the figures are in filter_stats.json")
