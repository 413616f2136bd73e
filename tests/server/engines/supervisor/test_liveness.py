"""Telling a hung engine from a busy one."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Literal

import pytest
from aiohttp import web

from server.engines.supervisor import liveness
from server.engines.supervisor.address import BASE_URL, new_socket, private

Deed = Literal["answer", "fail", "be silent"]


class Core:
    """An engine that does, call by call, what `deeds` says, and the last of them for ever."""

    def __init__(self) -> None:
        self.deeds: list[Deed] = ["answer"]
        self.health: int | None = 200
        """What the HTTP process says by itself; None: as its core does."""
        self.calls: list[str] = []
        self.url = ""
        app = web.Application()
        app.router.add_get("/{path:.*}", self.handle)
        self.runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.1)

    async def handle(self, request: web.Request) -> web.Response:
        if request.path == "/health" and self.health:
            return web.Response(status=self.health)
        self.calls.append(request.path)
        deed = self.deeds.pop(0) if len(self.deeds) > 1 else self.deeds[0]
        if deed == "be silent":
            await asyncio.Event().wait()
        return web.Response(status=500 if deed == "fail" else 200)


@pytest.fixture
async def core() -> AsyncIterator[Core]:
    core = Core()
    await core.runner.setup()
    await web.TCPSite(core.runner, "127.0.0.1", 0).start()
    core.url = f"http://127.0.0.1:{core.runner.addresses[0][1]}"
    yield core
    await core.runner.cleanup()


def never() -> bool:
    return False


async def test_silence_is_a_hang(core: Core) -> None:
    """And it is the core's own loop that is asked, not the HTTP process."""
    core.deeds = ["be silent"]
    why = await liveness.until_lost(core.url, None, 0.2, never)
    assert why == "it had not answered for 0 s"
    assert set(core.calls) == {"/weight_info"}


async def test_an_engine_that_only_fails_is_hung(core: Core) -> None:
    """A server error is no sign of life."""
    core.deeds = ["fail"]
    await liveness.until_lost(core.url, None, 0.2, never)


async def test_a_dead_core_is_not_waited_for(core: Core) -> None:
    """The HTTP process says so, while it waits for the core's answer to an earlier call."""
    core.deeds, core.health = ["be silent"], 503
    why = await liveness.until_lost(core.url, None, 0.6, never, ask_s=0.3)
    assert why == "its core was dead"


@pytest.mark.parametrize("socket", [None, Path("/nowhere/engine")])
async def test_an_engine_that_takes_no_connection_is_lost(socket: Path | None) -> None:
    """After one time of asking, however long it may be silent: it has ended, or never will."""
    why = await liveness.until_lost("http://127.0.0.1:1", socket, 0.6, never, ask_s=0.3)
    assert why == "it took no more connections"


async def test_an_engine_is_asked_through_its_socket(core: Core) -> None:
    """If it has one, its host's name means nothing."""
    socket, core.health = new_socket(tempfile.gettempdir()), None
    with private(socket.parent):
        await web.UnixSite(core.runner, str(socket)).start()
        await liveness.until_healthy(BASE_URL, socket)
        core.deeds = ["fail"]
        await liveness.until_lost(BASE_URL, socket, 0.2, never)
    assert set(core.calls) == {"/health", "/weight_info"}


async def test_a_long_step_is_no_hang(core: Core) -> None:
    """However long it is silent, while that is excused it does not count."""
    core.deeds = ["be silent"]
    excuses = iter([True] * 5)
    await liveness.until_lost(core.url, None, 0.1, lambda: next(excuses, False))
    assert len(core.calls) == 6


async def test_one_answer_makes_good_all_silence_before(core: Core) -> None:
    """Only calls in a row without an answer add up to the limit."""
    core.deeds = ["be silent", "answer", "be silent"]
    await liveness.until_lost(core.url, None, 0.2, never, ask_s=0.1, pause_s=0.0)
    assert len(core.calls) == 4


async def test_an_engine_is_healthy_once_it_says_so(core: Core) -> None:
    """Not while it answers with an error."""
    core.deeds, core.health = ["fail", "answer"], None
    await liveness.until_healthy(core.url, None)
    assert core.calls == ["/health", "/health"]
