"""`galen data distil`: a teacher's thoughts and answers to a file of questions."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from collections.abc import Callable

    from trainer.data.distillation.distil import Distillation, Report
    from trainer.data.distillation.teacher import Usage

KEYS = ("JUDGE_API_KEY", "DEEPSEEK_API_KEY")
"""Environment variables for the teacher's key; the first that is set counts."""
DEADLINE_S = 600.0
"""Time limit of one reply; a long thought takes minutes."""
_MILLION = 1_000_000


def distil(
    source: Annotated[Path, typer.Argument(metavar="IN", help="Questions in any known format.")],
    out: Annotated[Path, typer.Argument(metavar="OUT", help="The rows to learn from: .jsonl.")],
    teacher: Annotated[
        str, typer.Option(metavar="URL", help="An OpenAI-compatible endpoint's base URL.")
    ],
    model: Annotated[str, typer.Option(help="The teacher's name at the endpoint.")],
    max_tokens: Annotated[int, typer.Option(min=16)] = 4096,
    temperature: Annotated[float, typer.Option(min=0.0, max=2.0)] = 0.6,
    seed: Annotated[int | None, typer.Option(help="The same for every row.")] = None,
    concurrency: Annotated[int, typer.Option(min=1, max=512, help="Rows asked at once.")] = 8,
    price_in: Annotated[
        float | None, typer.Option(min=0.0, help="US dollars per million tokens of prompt.")
    ] = None,
    price_out: Annotated[
        float | None, typer.Option(min=0.0, help="US dollars per million tokens of reply.")
    ] = None,
) -> None:
    """Have a teacher think and answer every question. If it was stopped, the same command goes on
    and pays for no reply twice.

    The key is read from JUDGE_API_KEY, else from DEEPSEEK_API_KEY.
    """
    from trainer.data.distillation.distil import Distillation, Options

    options = Options(model=model, max_tokens=max_tokens, temperature=temperature, seed=seed)
    price = _price(model, price_in, price_out)
    with Distillation(source, out, options, price) as work:
        if work.known:
            typer.echo(f"{work.known} of {work.size} rows are answered already")
        try:
            asyncio.run(_ask(work, teacher, model, concurrency))
        except KeyboardInterrupt:
            typer.echo(
                f"\nStopped: {work.known} of {work.size} replies are there and kept, "
                f"{_dollars(work.cost_usd)}. Run the same command again to go on."
            )
            raise SystemExit(130) from None
        report = work.write()
    _say(report, out)
    if report.failed:
        raise typer.Exit(1)


def key() -> str | None:
    """The teacher's key from the environment."""
    return next((os.environ[name] for name in KEYS if os.environ.get(name, "").strip()), None)


async def _ask(work: Distillation, url: str, model: str, concurrency: int) -> None:
    from rich.console import Console

    from cli.progress import rows_bar
    from trainer.data.distillation.teacher import Teacher

    with rows_bar(Console(stderr=True, highlight=False)) as bar:
        task = bar.add_task("", total=work.size, completed=work.known)

        def on_row() -> None:
            bar.update(task, advance=1, description=_dollars(work.cost_usd))

        async with Teacher(
            url, model, key(), deadline_s=DEADLINE_S, connections=concurrency
        ) as teacher:
            await work.ask(teacher, concurrency, on_row)


def _price(
    model: str, price_in: float | None, price_out: float | None
) -> Callable[[Usage], float | None]:
    """What a call costs: by the options, else by the judge's table."""
    if price_in is not None or price_out is not None:
        each_in, each_out = price_in or 0.0, price_out or 0.0
        return lambda used: (used.prompt * each_in + used.completion * each_out) / _MILLION
    from datetime import UTC, datetime

    from judge.teacher.prices import Prices

    prices = Prices.load()
    if model not in prices.models:
        return lambda _: None
    return lambda used: prices.cost_usd(
        model, used.prompt, used.cached, used.completion, datetime.now(UTC)
    )


def _dollars(cost_usd: float | None) -> str:
    return "cost unknown" if cost_usd is None else f"{cost_usd:.4f} US dollars"


def _say(report: Report, out: Path) -> None:
    price = ": --price-in and --price-out" if report.cost_usd is None else ""
    typer.echo(f"Written:  {report.written} rows to {out}")
    for reason, count in sorted(report.unusable.items()):
        typer.echo(f"Not used: {count} replies: {reason}")
    if report.failed:
        typer.echo(f"Failed:   {report.failed} rows; the same command asks them once more")
    if report.unusable or report.failed:
        typer.echo(f"Why:      {out.with_name(f'{out.stem}.unusable.jsonl')}")
    typer.echo(f"Cost:     {_dollars(report.cost_usd)}{price}")
    typer.echo(f"Next:     galen data filter {out} --out FOLDER")
