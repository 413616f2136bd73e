"""A judge of our own making, served on loopback from a thread, for commands that take a URL."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import Future

import uvicorn
from fastapi import FastAPI

from galen.keys import KeyRing
from judge.app import build
from judge.settings import JudgeSettings


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.listening: Future[None] = Future()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.listening.set_result(None)


@contextlib.contextmanager
def served(settings: JudgeSettings) -> Iterator[str]:
    """The judge's address, as long as the block lasts."""
    with socket.socket(proto=socket.IPPROTO_TCP) as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        servers: Future[_Server] = Future()

        async def serve() -> None:
            # Built here, since a real teacher's client belongs to the loop that it is used in.
            app: FastAPI = build(settings, KeyRing({}))
            server = _Server(uvicorn.Config(app, log_config=None, access_log=False))
            servers.set_result(server)
            await server.serve(sockets=[listener])

        thread = threading.Thread(target=lambda: asyncio.run(serve()))
        thread.start()
        try:
            servers.result(30).listening.result(30)
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            servers.result(30).should_exit = True
            thread.join()
