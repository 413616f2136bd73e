"""A client that asks for a long stream and does not read it."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

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


async def test_a_slow_reader_holds_nobody_up_and_fills_no_memory(running: Running) -> None:
    """While it sleeps the gateway stops reading from the engine and others are answered; when it
    wakes up it gets every byte."""
    stream = LongStream(EVENTS)
    running.engine.enqueue(PATH, stream)
    async with asyncio.timeout(LIMIT_S), sleeper(running) as client:
        await stream.held_back.wait()
        answers = await asyncio.gather(*(running.ask() for _ in range(20)))
        assert {answer.status_code for answer in answers} == {200}
        assert stream.written < BOUND
        assert await read_all(client) > EVENTS * LARGE


async def test_a_slow_reader_holds_up_a_swap_no_longer_than_its_limit(launcher: Launcher) -> None:
    """Then it is cut off, although it reads nothing of what it is told."""
    stream = LongStream(EVENTS)
    async with asyncio.timeout(LIMIT_S), launcher.having(drain_limit_s=0.1).start() as running:
        running.engine.enqueue(PATH, stream)
        async with sleeper(running):
            await stream.held_back.wait()
            published = await running.publish(write_version(running.versions, "v1", -2.0))
            assert published.status_code == 200
            assert (await running.ask()).json()["model"] == "policy@v1"


async def test_a_slow_reader_that_goes_away_ends_the_generation(running: Running) -> None:
    """Although the gateway was not reading from the engine at that time."""
    stream = LongStream(EVENTS)
    running.engine.enqueue(PATH, stream)
    async with asyncio.timeout(LIMIT_S), sleeper(running):
        await stream.held_back.wait()
    async with asyncio.timeout(LIMIT_S):
        await stream.hung_up.wait()
    assert stream.written < BOUND
