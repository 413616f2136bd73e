"""`galen judge …`: serve the judge, examine its teacher, query its ledger."""

from __future__ import annotations

import typer

from cli.judge_forecast import forecast
from cli.judge_forget import forget
from cli.judge_qualify import qualify
from cli.judge_replay import replay
from cli.judge_rules import rules
from cli.judge_score import score
from cli.judge_try import try_out
from cli.services import DEFAULT, Config, Overrides


def register(app: typer.Typer) -> None:
    group = typer.Typer(help="The judge: completions to rewards.", no_args_is_help=True)
    group.callback()(lambda: None)
    group.command()(serve)
    group.command()(score)
    group.command("try")(try_out)
    group.command()(replay)
    group.command()(qualify)
    group.command()(forecast)
    group.command()(rules)
    group.command()(forget)
    app.add_typer(group, name="judge")


def serve(config: Config = DEFAULT, overrides: Overrides = []) -> None:  # noqa: B006
    """Serve the judge until it is stopped."""
    from cli import stack
    from judge import app

    app.serve(stack.load(config, overrides).judge)
