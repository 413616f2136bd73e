"""`galen doctor`: does this machine have everything that Galen needs?"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cli.checks import Check
    from cli.stack import StackConfig


def register(app: typer.Typer) -> None:
    app.command()(doctor)


def doctor(
    config: Annotated[Path, typer.Argument(help="The stack file.")] = Path("configs/demo.yaml"),
) -> None:
    """Check the machine and what a stack file names: models, data, memory, teacher, keys, ports."""
    from cli import stack

    sound = True
    for check in _checks(stack.load(config)):
        sign, colour = ("✓", typer.colors.GREEN) if check.ok else ("✗", typer.colors.RED)
        advice = f" → {check.advice}" if check.advice else ""
        typer.echo(f"{typer.style(sign, fg=colour)} {check.name:<14} {check.detail}{advice}")
        sound = sound and check.ok
    if not sound:
        raise typer.Exit(1)


def _checks(asked: StackConfig) -> Iterator[Check]:
    from cli import checks, stack_checks

    light = list(checks.everything_light(asked))
    yield from light
    sound = next(check.ok for check in light if check.name == "packages")
    if not sound or checks.lock_names() == checks.SERVICES_ONLY:
        return
    yield from stack_checks.everything(asked)
    from cli import model_checks

    with model_checks.model_folder(asked) as folder:
        if folder is None:  # a missing model has its line already
            return
        template = model_checks.template(folder)
        yield template
        if template.ok:
            yield model_checks.generation(asked, folder)
