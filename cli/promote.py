"""`galen promote`: let a version serve if it passes a gate."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.evaluate import MISSED, OUT, AllowMock, Concurrency, Judge, Out, Server, plan_of, watching

if TYPE_CHECKING:
    from trainer.evaluate.evaluate import Plan


def register(app: typer.Typer) -> None:
    app.command()(promote)


def promote(
    version: Annotated[str, typer.Argument(help="A version, or run:<name>.")],
    gate: Annotated[Path, typer.Option(help="YAML: suites, baseline, margin.")],
    server: Server = None,
    judge: Judge = None,
    out: Out = OUT,
    concurrency: Concurrency = 32,
    allow_mock: AllowMock = False,
) -> None:
    """Compare a version with what serves now, and let it serve if safety and targets hold.

    Ends with 3 if it may not; what serves goes on serving.
    """
    from trainer.evaluate import compare
    from trainer.evaluate import gate as gates

    if "@http" in version:
        raise typer.BadParameter(f"{version} answers elsewhere; only versions of the server serve")
    asked = gates.load(gate)
    models = [asked.baseline, version]
    plan = plan_of(models, asked.suites, [], asked.set, server, judge, out, None, concurrency)
    plan = replace(plan, allow_mock=allow_mock, margin=asked.margin)
    folder = compare.folder_of(plan)
    with watching(out) as watch:
        found = compare.compare(plan, folder, watch)
    decision = gates.decide(asked, plan.suites, found)
    kept = decision.write(plan.access.runs)
    for reason in decision.reasons:
        typer.echo(f"  ✗ {reason}")
    typer.echo(f"Report:   {folder / 'comparison.html'}\nDecision: {kept}")
    if not decision.is_promoted:
        typer.echo(f"{decision.version} does not serve; {decision.baseline} goes on.")
        raise typer.Exit(MISSED)
    asyncio.run(_activate(plan, decision.version))
    decision.model_copy(update={"outcome": "serves"}).write(plan.access.runs)
    typer.echo(f"`policy` is {decision.version}.")


async def _activate(plan: Plan, version: str) -> None:
    from server.client import PolicyClient

    access = plan.access
    async with PolicyClient(access.server, key=access.key, deadline_s=600.0) as client:
        await client.activate(version)
