"""`galen judge try`: a teacher on a few answers, with all that was asked and replied."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.services import DEFAULT, Overrides

if TYPE_CHECKING:
    from collections.abc import Sequence

    from judge.examination.tryout import Tried
    from judge.rubrics.rubric import Rubric
    from judge.schemas import ScoreItem
    from judge.settings import JudgeSettings


def try_out(
    source: Annotated[
        Path, typer.Argument(metavar="IN", help="Rows with questions and answers.")
    ] = Path("data/judge/labels.jsonl"),
    limit: Annotated[int, typer.Option(min=1, max=100, help="The first rows.")] = 5,
    rubric: Annotated[str, typer.Option(help="medical, medical-safety, …")] = "medical-safety",
    config: Annotated[
        Path, typer.Option("--config", "-c", help="The stack file, for the judge's settings.")
    ] = DEFAULT,
    overrides: Overrides = [],  # noqa: B006
) -> None:
    """Have the teacher judge a few answers, and show prompt, reply, verdict and cost of each.

    Nothing is stored and no service is needed. Without a key the mock judges, and says so.
    """
    from cli import stack
    from judge.rubrics.rubric import RubricRegistry
    from trainer import score as scoring

    settings = stack.load(config, overrides).judge
    chosen = RubricRegistry.load(settings.rubrics).get(rubric)
    items = [row.item for row in scoring.read(source, limit) if row.item is not None]
    if chosen.prompt is not None and chosen.asks_teacher:
        typer.echo(f"── asked first, the same for every answer ──\n{chosen.prompt.system}\n")
    failed, spent = asyncio.run(_show(settings, chosen, items))
    typer.echo(f"{len(items)} answers, {failed} failed, US$ {spent:.4f} spent")
    if failed:
        raise typer.Exit(1)


async def _show(
    settings: JudgeSettings, rubric: Rubric, items: Sequence[ScoreItem]
) -> tuple[int, float]:
    """Show each answer as it is judged; how many failed, and what all cost."""
    from judge.examination.tryout import try_out
    from judge.teacher.openai_teacher import teacher_of

    teacher = teacher_of(settings, os.environ)
    failed, spent = 0, 0.0
    try:
        async for tried in try_out(teacher, rubric, items, settings.budget.per_run_usd):
            typer.echo("\n".join(_told(tried)) + "\n")
            failed += tried.result.status == "failed"
            spent += tried.result.cost
    finally:
        await teacher.aclose()
    return failed, spent


def _told(tried: Tried) -> list[str]:
    result = tried.result
    lines = [f"── {tried.item.id}: asked ──", tried.asked or "no teacher: the rules decide"]
    for reply in tried.replies:
        lines += ["── replied ──", reply]
    lines.append("── verdict ──")
    if result.teacher is not None:
        scores = ", ".join(f"{name} {score:g}" for name, score in result.teacher.scores.items())
        scores = scores or result.teacher.why
        lines.append(f"{scores}; overall {result.teacher.overall:g}")
    for one in result.criteria.verdicts if result.criteria else ():
        said = "no verdict" if one.met is None else "met" if one.met else "not met"
        lines.append(f"{one.points:+g} {one.text}: {said}")
    if result.rules is not None:
        hits = ", ".join(
            f"{hit.rule} {hit.effect:+g} ({hit.standing})" for hit in result.rules.hits
        )
        lines.append(f"rules {result.rules.total:+g}: {hits or 'none'}")
        if result.rules.disputed:
            lines.append(f"disputed: {', '.join(hit.rule for hit in result.rules.disputed)}")
    if result.error is not None:
        lines.append(f"failed: {result.error.message} ({result.error.code})")
    reward = "none" if result.reward is None else f"{result.reward:+.4f}"
    lines.append(f"reward {reward}, judged by {result.provider}, US$ {result.cost:.6f}")
    return lines
