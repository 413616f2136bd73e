"""The gateway's HTTP connections to one engine."""

from __future__ import annotations

import os
from pathlib import Path
from types import TracebackType
from typing import Self

import aiohttp

ENGINE_KEY_VARIABLE = "GALEN_ENGINE_KEY"
"""The key that remote engines were started with (vLLM's `--api-key`), if any."""
IDLE_S = 3.0
"""Shorter than the engine's own limit, so that no request enters a connection being closed."""


class Connections:
    """A connection for each request, without a time limit, since a long generation is no fault.
    Goes through `socket` if there is one, else over TCP."""

    def __init__(self, socket: Path | None = None, key: str | None = None) -> None:
        self._socket = socket
        self._headers = {"Authorization": f"Bearer {key}"} if key else {}
        self.session = self._open()

    @classmethod
    def to_remote(cls) -> Connections:
        return cls(key=os.environ.get(ENGINE_KEY_VARIABLE))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.session.close()

    async def drop(self) -> None:
        """Abort all calls under way; their callers see the engine as lost."""
        old, self.session = self.session, self._open()
        await old.close()

    def _open(self) -> aiohttp.ClientSession:
        connector: aiohttp.BaseConnector = (
            aiohttp.UnixConnector(str(self._socket), limit=0, keepalive_timeout=IDLE_S)
            if self._socket
            else aiohttp.TCPConnector(limit=0, keepalive_timeout=IDLE_S)
        )
        return aiohttp.ClientSession(
            connector=connector,
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=5.0),
            headers=self._headers,
        )
