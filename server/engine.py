"""Supervises one vLLM server in a subprocess on a free loopback port.

The engine is vLLM's own OpenAI server, reached over HTTP alone: nothing here imports vllm. It runs
in a process group of its own under `server.leash`. When it dies it is started again with back-off,
and counts as ready only once `on_ready` has put the current policy version back.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import secrets
import signal
import socket
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Protocol

import aiohttp

from galen.errors import GalenError, Unavailable
from server import leash
from server.launch import command, environment, last_error
from server.settings import ServerSettings

log = logging.getLogger(__name__)

OnReady = Callable[[], Awaitable[None]]
BuildCommand = Callable[[ServerSettings, int, str], list[str]]
"""Settings, port and served name to the words of a command line."""

POLL_S = 0.2
FIRST_BACKOFF_S, MOST_DOUBLINGS = 0.5, 6
STEADY_S = 60.0
"""An engine that served this long and then died starts again without added back-off."""


class Engine(Protocol):
    """What the gateway needs of an engine, whoever runs it."""

    served_name: str
    """The model name by which the engine knows its start weights."""
    problem: str | None
    """Why it cannot be used now; None when it can."""
    restarts: int
    """How often it had to be started again."""
    is_fresh: bool
    """Whether it was started for this gateway, so that it holds nothing but its start weights."""

    @property
    def base_url(self) -> str: ...

    async def run(self, on_ready: OnReady) -> None:
        """Keep it running until cancelled.

        `on_ready` is awaited after each start; if it raises a `GalenError`, that start has failed.
        """

    def restart(self, reason: str) -> None:
        """End it, so that `run` starts it anew."""


class EngineProcess:
    """A local vLLM."""

    def __init__(self, settings: ServerSettings, build_command: BuildCommand = command) -> None:
        self._settings = settings
        self._build_command = build_command
        self._process: asyncio.subprocess.Process | None = None
        self._port = 0
        self._was_healthy = False
        self.served_name = f"engine-{secrets.token_hex(6)}"
        self.problem: str | None = "the engine has not been started"
        self.restarts = 0
        self.is_fresh = True
        self.log_file = settings.state / "engine.log"

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    async def run(self, on_ready: OnReady) -> None:
        """Keep an engine running until cancelled. Raises if it was never once healthy."""
        failures = 0
        while True:
            try:
                served_s = await self._live(on_ready)
            except GalenError as error:
                if not self._was_healthy:
                    raise
                self.problem, served_s = error.message, 0.0
                log.error("engine did not come back", extra={"reason": error.message})
            failures = 0 if served_s >= STEADY_S else min(failures + 1, MOST_DOUBLINGS)
            self.restarts += 1
            await asyncio.sleep(FIRST_BACKOFF_S * 2**failures)

    def restart(self, reason: str) -> None:
        log.error("engine is restarted", extra={"reason": reason})
        self.problem = f"the engine is being restarted: {reason}"
        if self._process:
            _kill_group(self._process)

    async def _live(self, on_ready: OnReady) -> float:
        """One life of the engine; seconds that it served. Raises if it did not get ready."""
        self.problem = "the engine is starting"
        async with self._started() as process:
            await self._until_healthy(process)
            self._was_healthy = True
            ready = asyncio.ensure_future(on_ready())
            died = asyncio.ensure_future(process.wait())
            try:
                await asyncio.wait({ready, died}, return_when=asyncio.FIRST_COMPLETED)
                if not ready.done():
                    raise self._failed("died while its policy version was being loaded")
                ready.result()
                self.problem = None
                began = asyncio.get_running_loop().time()
                log.info("engine ready", extra={"pid": process.pid})
                await died
            finally:
                ready.cancel()
                died.cancel()
        self.problem = self.problem or "the engine has died and is being restarted"
        log.error("engine died", extra={"reason": last_error(self.log_file)})
        return asyncio.get_running_loop().time() - began

    @contextlib.asynccontextmanager
    async def _started(self) -> AsyncIterator[asyncio.subprocess.Process]:
        """The engine's processes; whatever happens, none is left on the way out."""
        self._port = _free_port()
        self._settings.state.mkdir(parents=True, exist_ok=True)
        if self.log_file.exists():
            self.log_file.replace(self.log_file.with_suffix(".log.1"))
        with self.log_file.open("wb") as out:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-P", leash.__file__),
                *self._build_command(self._settings, self._port, self.served_name),
                env=environment(self._settings),
                stdin=asyncio.subprocess.PIPE,
                stdout=out,
                stderr=asyncio.subprocess.STDOUT,
                start_new_session=True,
            )
        self._process = process
        try:
            yield process
        finally:
            await asyncio.shield(_end(process))
            self._process = None

    async def _until_healthy(self, process: asyncio.subprocess.Process) -> None:
        limit_s = self._settings.engine.start_limit_s
        try:
            async with asyncio.timeout(limit_s), aiohttp.ClientSession() as session:
                while not await _healthy(session, self.base_url):
                    if process.returncode is not None:
                        raise self._failed("did not start")
                    await asyncio.sleep(POLL_S)
        except TimeoutError:
            raise self._failed(f"was not ready within {limit_s:.0f} s") from None

    def _failed(self, what: str) -> Unavailable:
        reason = last_error(self.log_file)
        return Unavailable(f"the engine {what}: {reason} (log: {self.log_file})", retry_after_s=10)


async def _healthy(session: aiohttp.ClientSession, base_url: str) -> bool:
    try:
        async with session.get(f"{base_url}/health", timeout=aiohttp.ClientTimeout(2)) as answer:
            return answer.status == 200
    except (aiohttp.ClientError, TimeoutError):
        return False


async def _end(process: asyncio.subprocess.Process) -> None:
    """Let go of the leash, wait for the engine to end by itself, then make sure."""
    if process.stdin:
        process.stdin.close()
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(leash.GRACE_S + 2):
            await process.wait()
    _kill_group(process)
    await process.wait()


def _kill_group(process: asyncio.subprocess.Process) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
