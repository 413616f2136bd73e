"""A policy server on loopback, in this very event loop, before a fake engine."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx

from galen.keys import KeyRing
from galen.service.serving import uvicorn_config
from server.app import create_app
from server.settings import ServerSettings
from server.versions.store import VersionStore
from tests.fakes.engine import FakeEngine
from tests.fakes.listening import ListeningServer

LIMIT_S = 60.0
"""For what takes milliseconds, on a machine that has much else to do."""


@dataclass
class Running:
    """A server that runs. `versions` is the folder from which it takes versions."""

    engine: FakeEngine
    http: httpx.AsyncClient
    settings: ServerSettings
    failures: list[BaseException]
    failed: asyncio.Event
    secret: str = ""
    """Of the first key; empty without keys."""

    @property
    def port(self) -> int:
        return self.http.base_url.port or 80

    @property
    def versions(self) -> Path:
        return self.settings.versions_root

    async def publish(self, folder: Path, *, activate: bool = True) -> httpx.Response:
        body = {"name": folder.name, "path": str(folder), "activate": activate}
        return await self.http.post("/policy/versions", json=body)

    async def count_waiting(self) -> int:
        """How many requests wait, by the server's own metrics."""
        headers = {"Authorization": f"Bearer {self.secret}"} if self.secret else {}
        lines = (await self.http.get("/metrics", headers=headers)).text.splitlines()
        named = [line for line in lines if line.startswith("galen_server_requests_waiting{")]
        return int(sum(float(line.rsplit(" ", 1)[1]) for line in named))

    async def waiting(self, count: int) -> None:
        """Return once so many requests wait."""
        async with asyncio.timeout(LIMIT_S):
            while await self.count_waiting() != count:
                continue

    async def ask(self, model: str = "policy", **more: Any) -> httpx.Response:
        body = {"model": model, "prompt": "hello", **more}
        return await self.http.post("/v1/completions", json=body)

    async def text(self, model: str = "policy") -> str:
        """What the fake engine writes: the log-probability that its weights stand for."""
        return str((await self.ask(model)).json()["choices"][0]["text"])


@dataclass(frozen=True)
class Launcher:
    settings: ServerSettings
    keys: KeyRing
    secret: str = ""

    def having(self, keys: list[str] | None = None, **changed: Any) -> Launcher:
        settings = self.settings.model_copy(update=changed)
        if not keys:
            return replace(self, settings=settings)
        secret = keys[0].split(":")[2]
        return replace(self, settings=settings, keys=KeyRing.parse(keys), secret=secret)

    @contextlib.asynccontextmanager
    async def start(self) -> AsyncIterator[Running]:
        """A server that has its fake engine and can answer."""
        async with self._started() as running:
            await running.engine.ready.wait()
            yield running

    @contextlib.asynccontextmanager
    async def start_remote(self, *, ready: bool = True) -> AsyncIterator[Running]:
        """A server before the engines that its settings name; if `ready`, it can answer."""
        async with self._started() as running:
            while ready and (await running.http.get("/readyz")).status_code != 200:
                continue
            yield running

    @contextlib.asynccontextmanager
    async def _started(self) -> AsyncIterator[Running]:
        engine, failures, failed = (
            FakeEngine(self.settings.model),
            list[BaseException](),
            asyncio.Event(),
        )

        def note(failure: BaseException) -> None:
            failures.append(failure)
            failed.set()

        store = VersionStore(self.settings)
        app = create_app(self.settings, store, engine, self.keys, note)
        # By its protocol asyncio knows not to hold back small pieces, 40 ms each.
        with socket.socket(proto=socket.IPPROTO_TCP) as listener:
            listener.bind(("127.0.0.1", 0))
            server = ListeningServer(uvicorn_config(app, shutdown_s=1))
            serving = asyncio.create_task(server.serve(sockets=[listener]))
            await server.listening.wait()
            url = f"http://127.0.0.1:{listener.getsockname()[1]}"
            try:
                async with httpx.AsyncClient(
                    base_url=url, timeout=LIMIT_S, trust_env=False
                ) as http:
                    yield Running(engine, http, self.settings, failures, failed, self.secret)
            finally:
                server.should_exit = True
                await serving
