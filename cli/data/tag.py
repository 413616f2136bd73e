"""`galen data tag`: risk, specialty, complexity and style of every row."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from galen.journal import Journal
    from trainer.data.example import Example

DEADLINE_S = 120.0


def tag(
    source: Annotated[Path, typer.Argument(metavar="IN", help="Any common format.")],
    out: Annotated[Path, typer.Argument(metavar="OUT", help="A .jsonl or .json file.")],
    teacher: Annotated[
        str | None,
        typer.Option(metavar="URL", help="Ask a teacher: an OpenAI-compatible endpoint's URL."),
    ] = None,
    model: Annotated[str | None, typer.Option(help="The teacher's name at the endpoint.")] = None,
    concurrency: Annotated[int, typer.Option(min=1, max=512, help="Rows asked at once.")] = 8,
) -> None:
    """Give every row its meta by rules; with `--teacher` and `--model`, by a teacher.

    What a row brings stays. The rules decide for a row that the teacher cannot answer. The key is
    read as for `galen data distil`; a command that was stopped goes on where it was.
    """
    if (teacher is None) != (model is None):
        raise typer.BadParameter("give --teacher and --model, or neither")
    from cli.data import usable
    from trainer.data.tag import file

    with usable(source, out=out):
        rows = file.read(source)
        answers = None
        if teacher and model:
            answers = asyncio.run(_ask(rows, (source, out), teacher, model, concurrency))
        try:
            done = file.write(rows, source.stem, out, answers)
        finally:
            if answers is not None:
                answers.close()
        if answers is not None and not answers.failed:
            answers.path.unlink()
    for level, count in done.levels.most_common():
        typer.echo(f"{level:<12}{count:>8,}")
    asked = f", {done.by_teacher:,} by the teacher" if teacher else ""
    typer.echo(f"{out}: {done.rows:,} rows{asked}")
    if answers is not None and answers.failed:
        typer.echo(
            f"Failed:  {answers.failed:,} rows have the rules' meta; the same command asks them "
            "once more"
        )
    typer.echo(f"Next:    galen data show {out}")


async def _ask(
    rows: list[Example], kept_for: tuple[Path, Path], url: str, model: str, concurrency: int
) -> Journal:
    from rich.console import Console

    from cli.data.distil import key
    from cli.progress import rows_bar
    from trainer.data.distillation.teacher import Teacher
    from trainer.data.tag import file

    with rows_bar(Console(stderr=True, highlight=False)) as bar:
        task = bar.add_task("", total=len(rows))
        async with Teacher(
            url, model, key(), deadline_s=DEADLINE_S, connections=concurrency
        ) as client:
            return await file.ask(
                rows, kept_for, model, client, concurrency, lambda: bar.advance(task)
            )
