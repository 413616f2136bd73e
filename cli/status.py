"""The lines of `galen status`."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator

from cli.processes import Started, is_alive
from cli.state import SERVICES, StackState
from cli.up import answers, ready_url
from galen.errors import GalenError
from server.client import PolicyClient

KEY_VARIABLE = "GALEN_KEY"
"""The environment variable with the key that the command shows to the services."""


def lines(state: StackState) -> Iterator[str]:
    """One line a process, and the policy version that answers."""
    yield f"stack    {state.config}"
    if state.is_starting():
        yield "         `galen up` is at work"
    for started in state.processes:
        yield _line(started)
    for name in SERVICES:
        if state.service(name) is None:
            yield f"{name:<8} not started"
    server = state.service("server")
    if server is not None and server.url is not None and is_alive(server):
        yield f"policy   {asyncio.run(current_version(server.url))}"


def _line(started: Started) -> str:
    if not is_alive(started):
        return f"{started.name:<8} dead; its log: {started.log}"
    if started.url is None:
        return f"{started.name:<8} pid {started.pid:<8} running"
    ready = "ready" if answers(ready_url(started.name, started.url)) else "not ready"
    return f"{started.name:<8} pid {started.pid:<8} {started.url:<28} {ready}"


async def current_version(url: str) -> str:
    async with PolicyClient(url, key=os.environ.get(KEY_VARIABLE), deadline_s=5.0) as client:
        try:
            return (await client.policy()).current
        except GalenError as error:
            return f"unknown: {error.message}"
