"""The simple engine's app."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable

from fastapi import FastAPI

from galen.web import install_error_handlers
from server.simple import admin, routes
from server.simple.engine import SimpleEngine


def create_app(engine: SimpleEngine, on_end: Callable[[], None]) -> FastAPI:
    """`on_end` is called when the model's thread has ended, in that thread."""

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        engine.worker.start(on_end)
        try:
            yield
        finally:
            await asyncio.to_thread(engine.worker.stop)

    app = FastAPI(title="Galen simple engine", lifespan=lifespan)
    app.state.engine = engine
    app.include_router(routes.router)
    app.include_router(admin.router)
    install_error_handlers(app)
    return app
