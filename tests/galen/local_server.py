"""A small HTTP server on a free port of this machine: it gives its queued replies in order."""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass, field


@dataclass
class Reply:
    status: int = 200
    body: bytes = b"{}"
    headers: dict[str, str] = field(default_factory=dict)
    released: asyncio.Event | None = None
    """If given, the reply waits for it."""


class LocalServer:
    """Answers each connection once, with the next reply of the queue."""

    def __init__(self) -> None:
        self.replies: deque[Reply] = deque()
        self.requests: list[str] = []
        self._server: asyncio.Server | None = None

    async def start(self) -> str:
        """Listen; returns the address to call."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    async def stop(self) -> None:
        if self._server:
            self._server.close()
            await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        self.requests.append(head)
        reply = self.replies.popleft()
        if reply.released:
            await reply.released.wait()
        headers = {"Content-Length": str(len(reply.body)), "Connection": "close", **reply.headers}
        lines = [f"HTTP/1.1 {reply.status} x", *(f"{k}: {v}" for k, v in headers.items())]
        writer.write("\r\n".join([*lines, "", ""]).encode("latin-1") + reply.body)
        writer.close()
