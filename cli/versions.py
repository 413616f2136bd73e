"""`galen versions`, `publish`, `activate` and `forget`: which policy version answers."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from server.client import PolicyClient
    from server.schemas import PolicyState, VersionCard

PATIENCE_S = 600.0
"""A version may need a start of the engine."""
Server = Annotated[
    str | None, typer.Option(help="The policy server; else the one that is up here.")
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
    name: Annotated[str, typer.Argument(help="The version's new name.")],
    path: Annotated[Path, typer.Argument(help="Its folder, on a disk that the server reads.")],
    server: Server = None,
    activate: Annotated[bool, typer.Option(help="Let `policy` mean it at once.")] = True,
) -> None:
    """Have the server load a version; it refuses one that fails its parity probe."""
    policy = _asked(server, lambda client: client.publish(name, path, activate=activate))
    typer.echo(f"Loaded {name}; `policy` is {policy.current}.")


def activate(
    name: Annotated[str, typer.Argument(help="A version of `galen versions`, or base.")],
    server: Server = None,
) -> None:
    """Let `policy` mean another version: go back, or forward again."""
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
        said = f"{star} {card.name:<{width}}  {card.kind:<7}  {_told(card)}"
        yield said.rstrip()
    if policy.notice:
        yield f"\n{policy.notice}"


def _told(card: VersionCard) -> str:
    """What is known of a version beside its name and kind."""
    told = [
        card.sha256[:12],
        "loaded" if card.loaded else "",
        f"parity {card.parity:.4f} nat" if card.parity is not None else "",
        f"run {card.run}" if card.run else "",
        f"step {card.step}" if card.step is not None else "",
        f"from {card.parent}" if card.parent else "",
    ]
    return ", ".join(part for part in told if part)


def _asked(
    server: str | None, ask: Callable[[PolicyClient], Awaitable[PolicyState]]
) -> PolicyState:
    """The server's state after it did what is asked of it."""
    from rich.console import Console

    from cli import state
    from server.client import PolicyClient

    async def asking() -> PolicyState:
        key = os.environ.get("GALEN_KEY")
        url = server or state.server_url()
        async with PolicyClient(url, key=key, deadline_s=PATIENCE_S) as client:
            return await ask(client)

    # Beside the output, and in a terminal only: a start of the engine takes half a minute.
    with Console(stderr=True).status("服务器正在处理… the server is at work"):
        return asyncio.run(asking())
