"""`galen runs`: what was trained here, from what, how it went."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.farewell import in_environment

if TYPE_CHECKING:
    from trainer.history import RunCard

app = typer.Typer(help="What was trained here: list the runs, or show one.")

Runs = Annotated[Path, typer.Option(help="The folder of the runs.")]
BARS = "▁▂▃▄▅▆▇█"
CURVES = ("loss", "eval_loss", "eval_accuracy", "eval_rewards/margins", "reward_mean", "kl")
"""Figures of metrics.jsonl that are drawn, if they are there."""
WIDTH = 60


def register(parent: typer.Typer) -> None:
    parent.add_typer(app, name="runs")


@app.callback(invoke_without_command=True)
def runs(context: typer.Context, folder: Runs = Path("runs")) -> None:
    """List the runs: stage, parent, status and last figures."""
    if context.invoked_subcommand:
        return
    from rich.console import Console
    from rich.table import Table

    from trainer import history

    cards = history.cards(folder)
    if not cards:
        typer.echo(f"No runs in {folder} yet.\nNext:    galen train configs/recipes/demo/sft.yaml")
        return
    table = Table("run", "stage", "from", "status", "figures", box=None, pad_edge=False)
    for card in cards:
        table.add_row(card.name, card.stage, card.parent or "–", card.status, _figures(card))
    Console().print(table)
    typer.echo(f"\nNext:    galen runs show {cards[-1].name}")


@app.command()
def show(
    name: Annotated[str, typer.Argument(metavar="RUN", help="A run's name.")],
    folder: Runs = Path("runs"),
    html: Annotated[bool, typer.Option("--html", help="Write the report.html anew.")] = False,
) -> None:
    """Show one run: its curves, its worst completions, and where to read on."""
    from trainer import history

    card = history.card(folder / name)
    if html:
        from trainer.run_report import page

        typer.echo(f"Report:  {page.write(card.folder)}")
        return
    for line in lines(card):
        typer.echo(line)


def lines(card: RunCard) -> Iterator[str]:
    """All about a run, as text."""
    from trainer import history

    yield f"{card.name}: {card.stage}, {card.status}" + (
        f", from {card.parent}" if card.parent else ""
    )
    yield f"recipe   {card.folder / 'recipe.yaml'}"
    for name, value in card.facts:
        yield f"{name:<8} {value}"
    for name in CURVES:
        values = history.curve(card.folder, name)
        if len(values) > 1:
            yield f"{name:<22} {sparkline(values)}  {values[0]:.4g} → {values[-1]:.4g}"
    worst = history.worst_completions(card.folder, most=3)
    if worst:
        yield "\nWorst completions:"
    for row in worst:
        yield f"  {row['reward']:+.2f}  {_short(row['prompt'])}"
        yield f"         {_short(row['completion'])}"
    yield f"\nCurves:  {in_environment('tensorboard')} --logdir {card.folder / 'tensorboard'}"
    yield f"Next:    {_next(card)}"


def sparkline(values: list[float]) -> str:
    """The values as a line of bars, at most `WIDTH` of them; each is the mean of its share."""
    size = max(1, -(-len(values) // WIDTH))
    groups = [values[start : start + size] for start in range(0, len(values), size)]
    means = [sum(group) / len(group) for group in groups]
    low, high = min(means), max(means)
    scale = (len(BARS) - 1) / (high - low) if high > low else 0
    return "".join(BARS[round((mean - low) * scale)] for mean in means)


def _figures(card: RunCard) -> str:
    return ", ".join(f"{name} {value:.4g}" for name, value in card.figures.items())


def _short(text: Any) -> str:
    line = json.dumps(str(text), ensure_ascii=False)[1:-1]
    return line if len(line) <= 100 else f"{line[:99]}…"


def _next(card: RunCard) -> str:
    if card.status != "finished":
        return f"galen train {card.folder / 'recipe.yaml'}"
    return "galen chat" if card.stage == "compare" else f"galen publish run:{card.name}"
