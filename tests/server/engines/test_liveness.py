"""Telling a hung engine from a busy one."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator
from typing import Literal

import pytest
from aiohttp import web

from server.engines import liveness
from server.engines.address import BASE_URL, new_socket, private

Deed = Literal["answer", "fail", "be silent"]


class Core:
    """An engine that does, call by call, what `deeds` says, and the last of them for ever."""

    def __init__(self) -> None:
        self.deeds: list[Deed] = ["answer"]
        self.calls: list[str] = []
        self.url = ""
        app = web.Application()
        app.router.add_get("/{path:.*}", self.handle)
        self.runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.1)

    async def handle(self, request: web.Request) -> web.Response:
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
    await liveness.until_hung(core.url, None, 0.2, never)
    assert set(core.calls) == {"/weight_info"}


async def test_an_engine_that_only_fails_is_hung(core: Core) -> None:
    """A server error is no sign of life."""
    core.deeds = ["fail"]
    await liveness.until_hung(core.url, None, 0.2, never)


async def test_an_engine_of_which_nothing_listens_is_hung() -> None:
    """A refused connection is no sign of life either."""
    await liveness.until_hung("http://127.0.0.1:1", None, 0.2, never)


async def test_an_engine_is_asked_through_its_socket(core: Core) -> None:
    """If it has one, its host's name means nothing."""
    socket = new_socket(tempfile.gettempdir())
    with private(socket.parent):
        await web.UnixSite(core.runner, str(socket)).start()
        await liveness.until_healthy(BASE_URL, socket)
        core.deeds = ["fail"]
        await liveness.until_hung(BASE_URL, socket, 0.2, never)
    assert set(core.calls) == {"/health", "/weight_info"}


async def test_a_long_step_is_no_hang(core: Core) -> None:
    """However long it is silent, while that is excused it does not count."""
    core.deeds = ["be silent"]
    excuses = iter([True] * 5)
    await liveness.until_hung(core.url, None, 0.1, lambda: next(excuses, False))
    assert len(core.calls) == 6


async def test_one_answer_makes_good_all_silence_before(core: Core) -> None:
    """Only calls in a row without an answer add up to the limit."""
    core.deeds = ["be silent", "answer", "be silent"]
    await liveness.until_hung(core.url, None, 0.2, never, ask_s=0.1, pause_s=0.0)
    assert len(core.calls) == 4


async def test_an_engine_is_healthy_once_it_says_so(core: Core) -> None:
    """Not while it answers with an error."""
    core.deeds = ["fail", "answer"]
    await liveness.until_healthy(core.url, None)
    assert core.calls == ["/health", "/health"]
