"""The policy server: the app, and how it is run."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import logging
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import IO

import uvicorn
from fastapi import FastAPI
from prometheus_client import CollectorRegistry

from galen import DISCLAIMER_EN
from galen.errors import InvalidInput
from galen.keys import KeyRing, refuse_open_bind
from galen.service.key_limits import KeyLimits
from galen.service.serving import listen, uvicorn_config
from galen.service.shell import wrap
from galen.telemetry import configure_logging
from server.batches import routes as batches_routes
from server.batches.service import BatchService
from server.batches.store import Store, make_private
from server.engines import model_folder
from server.engines.connections import Connections
from server.engines.engine import Engine
from server.engines.remote import RemoteEngine
from server.engines.supervisor.local import EngineProcess
from server.gateway.errors import AnthropicErrors
from server.gateway.proxy import Gateway
from server.gateway.request_metrics import RequestMetrics
from server.policy.metrics import PolicyMetrics, watch_engines
from server.policy.policy import Policy
from server.policy.pool import Pool
from server.policy.replica import Replica
from server.routes import Parts, router
from server.settings import ServerSettings
from server.versions.store import VersionStore

log = logging.getLogger(__name__)

BATCHES = "batches"
"""The folder of files and batches in the state folder."""
SHUTDOWN_S = 5
"""Seconds that answers under way have to end once the server stops."""


def create_app(
    settings: ServerSettings,
    store: VersionStore,
    local: Engine,
    keys: KeyRing,
    on_engine_failed: Callable[[BaseException], None],
) -> FastAPI:
    """The server's app. `local` is its engine unless `settings.engines` names others;
    `on_engine_failed` gets the error if that one cannot be kept running."""
    registry = CollectorRegistry()
    metrics, requests = PolicyMetrics(registry), RequestMetrics(registry)
    limits = KeyLimits(on_refused=requests.refused)

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with contextlib.AsyncExitStack() as stack:
            pool = Pool([replica async for replica in _replicas(settings, local, stack)])
            watch_engines(pool, registry)
            policy = Policy(settings, store, pool, metrics)
            gateway = Gateway(settings, pool, policy, requests)
            app.state.parts = Parts(keys, limits, registry, pool, policy, gateway)
            service = BatchService(gateway.ask, Store(settings.state / BATCHES), registry)
            app.state.batches = service

            async def restore(replica: Replica) -> None:
                await policy.restore(replica)
                service.engine_ready()

            running = asyncio.create_task(pool.run(restore))
            running.add_done_callback(_reporting(on_engine_failed))
            try:
                async with service.running():
                    yield
            finally:
                running.cancel()
                await asyncio.wait({running})

    return _assembled(settings, keys, registry, lifespan)


def _assembled(
    settings: ServerSettings,
    keys: KeyRing,
    registry: CollectorRegistry,
    lifespan: Callable[[FastAPI], contextlib.AbstractAsyncContextManager[None]],
) -> FastAPI:
    """The routes, and what stands around them."""
    app = FastAPI(
        title="Galen policy server",
        description=f"OpenAI's API with policy versions. {DISCLAIMER_EN}",
        lifespan=lifespan,
        # Shared by all apps of the process: include_router would build each route again.
        routes=[*router.routes, *batches_routes.router.routes],
    )
    wrap(
        app,
        "server",
        registry,
        settings.body_limit,
        {batches_routes.FILES: batches_routes.UPLOAD_LIMIT},
        local_only=not keys,
        origins=settings.origins,
    )
    app.add_middleware(AnthropicErrors)
    return app


def serve(settings: ServerSettings) -> None:
    """Run the server until a signal stops it.

    Raises `InvalidInput` if the settings do not allow a start, `Unavailable` if the engine fails.
    """
    keys = KeyRing.load(settings.keys_file)
    refuse_open_bind(settings.host, keys)
    if not (settings.model / "config.json").is_file():
        message = f"no model at {settings.model}: it holds no config.json; train or copy one there"
        raise InvalidInput(message, param="model")
    configure_logging("server")
    failures: list[BaseException] = []

    def stop(failure: BaseException) -> None:
        failures.append(failure)
        server.should_exit = True

    with _hold(settings.state):
        if not settings.engines and (problem := model_folder.check(settings.model)):
            log.warning(problem)
        app = create_app(settings, VersionStore(settings), EngineProcess(settings), keys, stop)
        server = uvicorn.Server(uvicorn_config(app, shutdown_s=SHUTDOWN_S))
        with listen(settings.host, settings.port) as listener:
            log.info("listening", extra={"url": f"http://{settings.host}:{settings.port}"})
            server.run(sockets=[listener])
    if failures:
        raise failures[0]


def _hold(state: Path) -> IO[str]:
    """Lock the state folder until the file is closed, which any end of the process does.

    Two servers would overwrite each other's versions and work on the same batches. The batches'
    folder is made here too, so that a bad path is reported before anything starts.
    """
    try:
        state.mkdir(mode=0o700, parents=True, exist_ok=True)
        make_private(state / BATCHES)
        lock = (state / "lock").open("w")
    except OSError as error:
        where = error.filename or state
        message = f"state: cannot write to {where} ({error.strerror}); name another folder"
        raise InvalidInput(message, param="state") from None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        lock.close()
        locked = isinstance(error, BlockingIOError)
        why = "another server is at work on" if locked else f"{error.strerror}:"
        message = f"state: {why} {state}; stop it, or name another folder"
        raise InvalidInput(message, param="state") from None
    if (files := state / "files").exists():
        paths = {"paths": f"{files} {state / BATCHES}/*.json"}
        log.warning("files and batches of a former format may be deleted", extra=paths)
    return lock


def _reporting(on_failed: Callable[[BaseException], None]) -> Callable[[asyncio.Task[None]], None]:
    def report(task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (failure := task.exception()):
            log.error("engine given up", extra={"reason": str(failure)})
            on_failed(failure)

    return report


async def _replicas(
    settings: ServerSettings, local: Engine, stack: contextlib.AsyncExitStack
) -> AsyncIterator[Replica]:
    """The engines that the settings name, else the local one; `stack` closes their connections."""
    if not settings.engines:
        connections = await stack.enter_async_context(Connections(local.socket))
        yield Replica("local", local, connections, settings)
    for url in settings.engines:
        connections = await stack.enter_async_context(Connections.to_remote())
        engine = RemoteEngine(url, connections, settings.engine.hang_limit_s)
        yield Replica(url, engine, connections, settings)
