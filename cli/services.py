"""`galen up`, `down`, `status`, `server serve` and `webui serve`."""

from __future__ import annotations

import signal
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from cli.stack import StackConfig
    from cli.state import StackState
    from cli.up import Bringer

Config = Annotated[Path, typer.Argument(help="The stack file.", show_default=True)]
Overrides = Annotated[
    list[str], typer.Option("--set", metavar="FIELD=VALUE", help="Override a field of the file.")
]
DEFAULT = Path("configs/demo.yaml")


def register(app: typer.Typer) -> None:
    app.command()(up)
    app.command()(down)
    app.command()(status)
    for name, serve, what in (
        ("server", serve_server, "The policy server: prompts to completions."),
        ("webui", serve_webui, "The web page."),
    ):
        group = typer.Typer(help=what, no_args_is_help=True)
        group.command("serve")(serve)
        # Without a callback typer would drop the word `serve` of a group with one command.
        group.callback()(lambda: None)
        app.add_typer(group, name=name)


def up(config: Config = DEFAULT, overrides: Overrides = []) -> None:  # noqa: B006
    """Rehearse the loop of a stack file, and leave the three services running."""
    from rich.console import Console

    from cli import stack, state
    from cli.progress import Progress
    from cli.up import Bringer, check_before
    from galen.errors import Conflict

    running = state.read()
    if running and running.is_starting():
        raise Conflict(
            "another `galen up` is running here; wait for it, or stop it with `galen down`"
        )
    asked = stack.load(config, overrides)
    if running and running.is_up():
        if running.config != config:
            raise Conflict(f"{running.config} is up here; stop it first with `galen down`")
        urls = asked.urls()
        if any(p.url and p.url != urls.get(p.name) for p in running.processes):
            raise Conflict("Galen is up here on other ports; stop it first with `galen down`")
        changed = [name for name, mark in asked.marks().items() if running.marks.get(name) != mark]
        if running.marks and changed:
            raise Conflict(
                f"Galen is up here with other settings of {' and '.join(changed)}; stop it first "
                "with `galen down`"
            )
        typer.echo("Galen is up already.")
    else:
        if running:
            _stop(running)
        check_before(asked)
        if asked.notice:
            typer.echo(asked.notice)
        bring_up(Bringer(asked, config, overrides, Progress(Console(highlight=False))))
    _say_farewell(asked)


def bring_up(bringer: Bringer) -> None:
    """Start a stack. Ctrl-C, a `kill` or a closed terminal stops what was started so far."""

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, interrupt)
    try:
        bringer.bring_up()
    except KeyboardInterrupt:
        typer.echo("\nInterrupted: what this had started is stopped. Run it again to continue.")
        raise SystemExit(130) from None


def down() -> None:
    """Stop what `galen up` started here, and nothing else."""
    from cli import state

    running = state.read()
    if running is None:
        typer.echo("Nothing that was started in this folder is up.")
        return
    _stop(running)
    typer.echo("Galen is down.")


def status() -> None:
    """Show each service: its process, its address, whether it is ready, and the policy version."""
    from cli import state
    from cli.status import lines

    running = state.read()
    if running is None:
        typer.echo("Nothing that was started in this folder is up; `galen up` starts it.")
        raise typer.Exit(1)
    for line in lines(running):
        typer.echo(line)
    if not running.is_up():
        raise typer.Exit(1)


def serve_server(config: Config = DEFAULT, overrides: Overrides = []) -> None:  # noqa: B006
    """Serve the policy until it is stopped."""
    from cli import stack
    from server.app import serve

    serve(stack.load(config, overrides).server)


def serve_webui(config: Config = DEFAULT, overrides: Overrides = []) -> None:  # noqa: B006
    """Serve the web page until it is stopped."""
    from cli import stack
    from webui.app import serve

    serve(stack.load(config, overrides).webui)


def _say_farewell(asked: StackConfig) -> None:
    from cli.farewell import farewell
    from galen.keys import KeyRing

    keys = KeyRing.load(asked.server.keys_file)
    webui = asked.webui
    text = farewell(asked.urls(), rubric=webui.rubric, rehearsal=webui.rehearsal, keys=bool(keys))
    typer.echo(text)


def _stop(running: StackState) -> None:
    """Stop a running `galen up` first, so that it starts nothing more."""
    from cli import processes, state
    from cli.up import STOP_LIMIT_S

    if running.starter is not None:
        processes.stop([running.starter], STOP_LIMIT_S * 2)
    processes.stop(running.processes, STOP_LIMIT_S)
    state.forget()
