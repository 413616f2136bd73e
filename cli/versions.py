"""`galen versions`, `publish`, `activate` and `forget`: which policy version answers."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from server.client import PolicyClient
    from server.schemas import PolicyState, VersionCard
    from server.settings import ServerSettings

RUNS = Path("runs")
"""The folder of runs and versions when no stack file names one."""
PATIENCE_S = 600.0
"""A version may need a start of the engine."""
Server = Annotated[
    str | None, typer.Option(help="The policy server; else the one that is up here.")
]
Config = Annotated[
    Path | None,
    typer.Option(help="The stack file that the server was started with; else the one up here."),
]


def register(app: typer.Typer) -> None:
    for command in (versions, publish, activate, forget):
        app.command()(command)


def versions(server: Server = None) -> None:
    """List the policy versions that the server knows; a star marks the one that answers."""
    policy = _asked(server, lambda client: client.policy())
    for line in lines(policy):
        typer.echo(line)
    typer.echo("\nNext:    galen activate NAME, galen chat --model policy@NAME")


def publish(
    name: Annotated[str, typer.Argument(help="The version's new name, or run:<name> by itself.")],
    source: Annotated[
        str | None,
        typer.Argument(
            metavar="FOLDER",
            help="A model's, adapter's, run's or version's folder, or run:<name>.",
        ),
    ] = None,
    server: Server = None,
    activate: Annotated[bool, typer.Option(help="Let `policy` mean it at once.")] = True,
    config: Config = None,
) -> None:
    """Publish weights that fit the served base; the server refuses what fails its parity probe."""
    from trainer.runs import RUN_PREFIX

    if source is None and not name.startswith(RUN_PREFIX):
        raise typer.BadParameter("name the version's folder too, or a run: galen publish run:NAME")
    before = _asked(server, lambda client: client.policy())
    if source is None:
        name, source = _version_of(name, config), name
    policy = _published(name, source, before, server, config, activate=activate)
    typer.echo(f"Loaded {name}; `policy` is {policy.current}.")
    if policy.current == name:
        typer.echo(f"Next:    galen chat, or back again: galen activate {before.current}")
    else:
        typer.echo(f"Next:    galen activate {name}")


def activate(
    name: Annotated[
        str, typer.Argument(help="A version of `galen versions`, base, or run:<name>.")
    ],
    server: Server = None,
    config: Config = None,
) -> None:
    """Let `policy` mean another version: go back, or forward again."""
    from trainer.runs import RUN_PREFIX

    source, name = name, _version_of(name, config)
    if source.startswith(RUN_PREFIX):
        before = _asked(server, lambda client: client.policy())
        if name not in [card.name for card in before.versions]:
            _published(name, source, before, server, config, activate=False)
    policy = _asked(server, lambda client: client.activate(name))
    typer.echo(f"`policy` is {policy.current}.")


def forget(
    name: Annotated[str, typer.Argument(help="A version that does not answer now.")],
    server: Server = None,
) -> None:
    """Take a version off the server's list. Its folder stays."""
    policy = _asked(server, lambda client: client.delete(name))
    typer.echo(f"Forgot {name}; `policy` is {policy.current}.")


def lines(policy: PolicyState) -> Iterator[str]:
    """One line a version, in the server's order, and its notice if it has one."""
    width = max(len(card.name) for card in policy.versions)
    for card in policy.versions:
        star = "*" if card.name == policy.current else " "
        line = f"{star} {card.name:<{width}}  {card.kind:<7}  {_details(card)}"
        yield line.rstrip()
    if policy.notice:
        yield f"\n{policy.notice}"


def _details(card: VersionCard) -> str:
    """What is known of a version besides its name and kind."""
    details = [
        card.sha256[:12],
        "loaded" if card.loaded else "",
        f"parity {card.parity:.4f} nat" if card.parity is not None else "",
        f"run {card.run}" if card.run else "",
        f"step {card.step}" if card.step is not None else "",
        f"from {card.parent}" if card.parent else "",
    ]
    return ", ".join(part for part in details if part)


def _version_of(name: str, config: Path | None) -> str:
    """The version that a name or `run:<name>` stands for."""
    from trainer.runs import RUN_PREFIX, resolve

    if not name.startswith(RUN_PREFIX):
        return name
    settings = _settings(config)
    root, base = (settings.versions_root, settings.model) if settings else (RUNS, None)
    return resolve(root, name, base)


def _published(
    name: str,
    given: str,
    before: PolicyState,
    server: str | None,
    config: Path | None,
    *,
    activate: bool,
) -> PolicyState:
    """Make a version of the given folder and have the server load it."""
    from rich.console import Console

    from galen.errors import VersionRefused
    from trainer import versions

    _refuse_name(name)
    # With --server alone the server may be another stack's, whose folders are not known here.
    settings = _settings(config) if config or not server else None
    root = settings.versions_root if settings else RUNS
    source = versions.source_of(given, root, before.serves)
    place = versions.place_of(name, root)
    was_there = place.exists()
    console = Console(stderr=True)
    with console.status("checking the weights… 正在检查权重") as status:

        def say(what: str) -> None:
            if what.startswith("merging"):
                console.print(what)
            status.update(what)

        if not settings and source.is_version(name):
            folder = source.folder
        else:
            bases = [settings.model] if settings else []
            folder = versions.prepare(source, name, before, bases, root, say)
    try:
        return _asked(server, lambda client: client.publish(name, folder, activate=activate))
    except VersionRefused:
        if not was_there:  # else the same name would be refused for better weights
            shutil.rmtree(place, ignore_errors=True)
        raise


def _refuse_name(name: str) -> None:
    from galen.errors import InvalidInput
    from server.schemas import BASE, VERSION_NAME

    if name == BASE:
        raise InvalidInput(f"{BASE!r} is the name of the weights that the server starts with")
    if not re.fullmatch(VERSION_NAME, name):
        raise InvalidInput(
            f"{name!r} is no version's name: letters, digits and ._- after a letter or a digit, "
            "100 at most"
        )


def _settings(config: Path | None) -> ServerSettings | None:
    """The `server` part of the stack file: the one named, the one up here, or the default."""
    from cli import stack, state

    running = state.read()
    path = config or (running.config if running else stack.DEFAULT_STACK)
    return stack.load(path).server if config or path.is_file() else None


def _asked(
    server: str | None, ask: Callable[[PolicyClient], Awaitable[PolicyState]]
) -> PolicyState:
    """The server's state after the call."""
    from rich.console import Console

    from cli import state
    from server.client import PolicyClient

    async def asking() -> PolicyState:
        key = os.environ.get("GALEN_KEY")
        url = server or state.server_url()
        async with PolicyClient(url, key=key, deadline_s=PATIENCE_S) as client:
            return await ask(client)

    # Shown in a terminal only, on standard error: a start of the engine takes half a minute.
    with Console(stderr=True).status("服务器正在处理… the server is at work"):
        return asyncio.run(asking())
