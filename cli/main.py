"""`galen`: one thin file a command group. Heavy imports stay inside the commands, so that help
answers at once."""

from __future__ import annotations

import sys

import typer

from cli import (
    chat,
    compare,
    data,
    doctor,
    evaluate,
    judge,
    models,
    pipeline,
    predict,
    promote,
    runs,
    services,
    train,
    versions,
    votes,
)
from galen.errors import GalenError, Unauthorized

app = typer.Typer(
    help="Galen: post-train a small reasoning model against a judge, and serve it.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
for group in (
    services,
    judge,
    train,
    runs,
    evaluate,
    compare,
    promote,
    votes,
    versions,
    pipeline,
    predict,
    chat,
    doctor,
):
    group.register(app)
app.add_typer(data.app, name="data")
app.add_typer(models.app, name="models")


def main() -> None:
    run(app)


def run(commands: typer.Typer) -> None:
    """Run one command. A deliberate error ends it with one clear message and exit code 1; a bug
    keeps its traceback."""
    try:
        commands(prog_name="galen")
    except GalenError as error:
        hint = "; commands read it from GALEN_KEY" if isinstance(error, Unauthorized) else ""
        typer.secho(f"galen: {error.message}{hint}", fg=typer.colors.RED, err=True)
        sys.exit(1)


if __name__ == "__main__":
    main()
