"""Work ends with the client that it is for."""

from __future__ import annotations

import asyncio

import pytest

from galen.service.hang_up import unless_hung_up


class Client:
    """Has sent its body; `leave` hangs up."""

    def __init__(self) -> None:
        self._messages: asyncio.Queue[dict[str, str]] = asyncio.Queue()
        self._messages.put_nowait({"type": "http.request"})

    async def receive(self) -> dict[str, str]:
        return await self._messages.get()

    def leave(self) -> None:
        self._messages.put_nowait({"type": "http.disconnect"})


class Work:
    """Is done once `release` is set; `ended` tells how it ended."""

    def __init__(self) -> None:
        self.begun, self.release = asyncio.Event(), asyncio.Event()
        self.ended = ""

    async def run(self) -> None:
        self.begun.set()
        try:
            await self.release.wait()
            self.ended = "done"
        except asyncio.CancelledError:
            self.ended = "cancelled"
            raise


async def test_work_for_a_client_who_stays_is_done() -> None:
    """Whatever else the client sends meanwhile."""
    client, work = Client(), Work()
    work.release.set()
    assert await unless_hung_up(client.receive, work.run())
    assert work.ended == "done"


async def test_work_for_a_client_who_leaves_is_cancelled() -> None:
    """And has ended by the time that this is told."""
    client, work = Client(), Work()
    asking = asyncio.create_task(unless_hung_up(client.receive, work.run()))
    await work.begun.wait()
    client.leave()
    assert not await asking
    assert work.ended == "cancelled"


async def test_whoever_gives_up_waiting_ends_the_work() -> None:
    """A server that is shut down leaves no work behind."""
    client, work = Client(), Work()
    asking = asyncio.create_task(unless_hung_up(client.receive, work.run()))
    await work.begun.wait()
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    assert work.ended == "cancelled"


async def test_what_the_work_raises_is_raised() -> None:
    """Its errors are rendered by whoever asked for it."""

    async def fail() -> None:
        raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        await unless_hung_up(Client().receive, fail())
