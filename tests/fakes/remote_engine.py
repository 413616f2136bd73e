"""An engine that runs without the gateway, as vLLM does in Kubernetes, on an address that stays."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from aiohttp import web

from server.engines.engine import PLAIN_RELOAD
from tests.fakes.engine import FakeEngine, compact

START_MARK = "0"


class RemoteFakeEngine(FakeEngine):
    """`go_away` and `come_back` close and open its door; `start_anew` forgets all it has loaded."""

    def __init__(self, base: Path) -> None:
        super().__init__(base)
        self.socket = None
        self.reload_method = PLAIN_RELOAD
        self._port = 0
        self.mark = START_MARK
        self.listed: list[Any] | None = None
        """What it lists in place of its models, if anything."""
        self.served_name = f"model-of-{id(self)}"

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    @contextlib.asynccontextmanager
    async def serving(self) -> AsyncIterator[str]:
        """Its URL, while it serves."""
        await self.come_back()
        try:
            yield self.base_url
        finally:
            await self.go_away()

    async def come_back(self) -> None:
        self._runner = web.AppRunner(
            self._with_marks(), handler_cancellation=True, shutdown_timeout=0.1
        )
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self._port, reuse_address=True).start()
        self._port = self._runner.addresses[0][1]

    async def go_away(self) -> None:
        await self._runner.cleanup()

    def start_anew(self) -> None:
        self._start_over()
        self.mark = START_MARK

    def _with_marks(self) -> web.Application:
        app = self._app()
        known = {resource.canonical for resource in app.router.resources()}
        routes = {
            "/v1/models": ("GET", self._models),
            "/weight_info": ("GET", self._weight_info),
            "/update_weight_version": ("POST", self._update_mark),
        }
        for path in routes.keys() - known:
            method, handle = routes[path]
            app.router.add_route(method, path, self._handler(handle))
        return app

    async def _models(self, request: web.Request, body: Any) -> web.Response:
        if self.listed is not None:
            return compact({"data": self.listed})
        adapters = [{"id": name, "parent": self.served_name} for name in self.adapters]
        return compact({"data": [{"id": self.served_name, "parent": None}, *adapters]})

    async def _weight_info(self, request: web.Request, body: Any) -> web.Response:
        return compact({"weight_version": self.mark})

    async def _update_mark(self, request: web.Request, body: Any) -> web.Response:
        self.mark = body["new_version"]
        return compact({"success": True})
