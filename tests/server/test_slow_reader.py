"""A client that asks for a long stream and does not read it."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import pytest

from tests.fakes.engine import LARGE, LongStream, write_version
from tests.server.harness import Launcher, Running

PATH = "/v1/completions"
EVENTS = 400
BOUND = EVENTS * LARGE * 3 // 4
"""Bytes: more than the sockets of two connections hold, which is what the kernel gives them."""
LIMIT_S = 120.0
"""For a whole test; one that takes longer hangs."""


@asynccontextmanager
async def sleeper(running: Running, **more: object) -> AsyncIterator[socket.socket]:
    """The socket of a client that has asked and reads nothing."""
    loop = asyncio.get_running_loop()
    body = json.dumps({"prompt": "hello", "stream": True, **more}).encode()
    head = f"POST {PATH} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n\r\n"
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.setblocking(False)
        await loop.sock_connect(client, ("127.0.0.1", running.port))
        await loop.sock_sendall(client, head.encode() + body)
        yield client


async def read_all(client: socket.socket) -> int:
    """Bytes of the rest of the answer, which the client now reads as fast as it can."""
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
    loop, count, end = asyncio.get_running_loop(), 0, b""
    while not end.endswith(b"0\r\n\r\n"):
        piece = await loop.sock_recv(client, 1 << 20)
        assert piece, "the stream broke off"
        count += len(piece)
        end = (end + piece)[-16:]
    return count


async def one_that_waits(running: Running) -> asyncio.Task[httpx.Response]:
    """Ask until the gate is shut, so that an answer does not come."""
    while True:
        asking = asyncio.create_task(running.ask())
        while not asking.done():
            if await running.count_waiting() == 1:
                return asking


@pytest.mark.parametrize("n", [1, 2])
async def test_a_slow_reader_holds_nobody_up_and_fills_no_memory(running: Running, n: int) -> None:
    """While it sleeps the gateway stops reading from the engine, others are answered, and another
    version is loaded and served; when it wakes up it gets every byte."""
    stream = LongStream(EVENTS, choices=tuple(range(n)))
    running.engine.enqueue(PATH, stream)
    async with asyncio.timeout(LIMIT_S), sleeper(running, n=n) as client:
        await stream.held_back.wait()
        answers = await asyncio.gather(*(running.ask() for _ in range(20)))
        assert {answer.status_code for answer in answers} == {200}
        published = await running.publish(write_version(running.versions, "v1", -2.0))
        assert published.status_code == 200
        assert (await running.ask()).json()["model"] == "policy@v1"
        assert stream.written < BOUND
        assert await read_all(client) > EVENTS * LARGE


async def test_choices_that_have_not_begun_keep_other_weights_out(launcher: Launcher) -> None:
    """They might wait in the engine still, and would be written by what is loaded then."""
    stream = LongStream(EVENTS, choices=(0,))
    async with asyncio.timeout(LIMIT_S), launcher.having(step_limit_s=LIMIT_S).start() as running:
        running.http.timeout = httpx.Timeout(LIMIT_S)
        running.engine.enqueue(PATH, stream)
        async with sleeper(running, n=2) as client:
            await stream.held_back.wait()
            folder = write_version(running.versions, "v1", -2.0)
            publishing = asyncio.create_task(running.publish(folder))
            behind = await one_that_waits(running)
            assert "/pause" not in running.engine.paths()
            await read_all(client)
        assert (await publishing).status_code == 200
        assert (await behind).json()["model"] == "policy@v1"


async def test_a_slow_reader_that_goes_away_ends_the_generation(running: Running) -> None:
    """Although the gateway was not reading from the engine at that time."""
    stream = LongStream(EVENTS)
    running.engine.enqueue(PATH, stream)
    async with asyncio.timeout(LIMIT_S), sleeper(running):
        await stream.held_back.wait()
    async with asyncio.timeout(LIMIT_S):
        await stream.hung_up.wait()
    assert stream.written < BOUND
