"""Supervises one vLLM server in a subprocess on a free loopback port.

The engine is vLLM's own OpenAI server, reached over HTTP alone: nothing here imports vllm. It runs
in a process group of its own under `server.leash`. When it dies, or no longer answers, it is
started again with back-off, and counts as ready only once `on_ready` has put the current policy
version back.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from asyncio.subprocess import Process
from collections.abc import Awaitable, Callable
from typing import Protocol

from galen.errors import GalenError, Unavailable
from server import leashed, liveness
from server.launch import command, environment, last_error
from server.settings import ServerSettings
from server.startup import StartUp

log = logging.getLogger(__name__)

OnReady = Callable[[], Awaitable[None]]
BuildCommand = Callable[[ServerSettings, int, str], list[str]]
"""Settings, port and served name to the words of a command line."""

POLL_S = 0.2
FIRST_BACKOFF_S, MOST_DOUBLINGS = 0.5, 6
STEADY_S = 60.0
"""An engine that served this long and then died starts again without added back-off."""
RETRY_AFTER_S = 5.0


class Engine(Protocol):
    """What the gateway needs of an engine, whoever runs it."""

    served_name: str
    """The model name by which the engine knows its start weights."""
    problem: str | None
    """Why it cannot be used now; None when it can."""
    retry_after_s: float
    """When a request that met the problem may come again, in seconds."""
    restarts: int
    """How often it had to be started again."""
    is_fresh: bool
    """Whether it was started for this gateway, so that it holds nothing but its start weights."""
    steps_under_way: int
    """Calls that have a time limit of their own; while there are any, silence is no hang."""

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
        self._process: Process | None = None
        self._port = 0
        self._was_healthy = False
        self._reason: str | None = None
        """Why it was ended, if it was we who did."""
        self._past = ""
        """What the problem says about the lives before, while it starts."""
        self.served_name = f"engine-{secrets.token_hex(6)}"
        self.problem: str | None = "the engine has not been started"
        self.retry_after_s = RETRY_AFTER_S
        self.restarts = 0
        self.is_fresh = True
        self.steps_under_way = 0
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
                reason, served_s = error.message, 0.0
            else:
                reason = self._reason or f"it died: {last_error(self.log_file)}"
            failures = 0 if served_s >= STEADY_S else failures + 1
            self.restarts += 1
            await self._back_off(failures, reason)

    def restart(self, reason: str) -> None:
        self._reason = reason
        self.problem = f"the engine is being restarted: {reason}"
        if self._process:
            leashed.kill(self._process)

    async def _back_off(self, failures: int, reason: str) -> None:
        """Say what has happened, and wait the longer the oftener it has."""
        pause_s = FIRST_BACKOFF_S * 2 ** min(failures, MOST_DOUBLINGS)
        log.error("engine ended", extra={"reason": reason, "in_a_row": failures})
        self.problem = f"the engine is being restarted: {reason}"
        self._past = ""
        if failures > 1:
            self._past = f"; it has ended {failures} times in a row, the last time because {reason}"
            self.problem = f"the engine is started again in {pause_s:.0f} s{self._past}"
        self.retry_after_s = max(RETRY_AFTER_S, pause_s)
        await asyncio.sleep(pause_s)
        self.retry_after_s = RETRY_AFTER_S

    async def _live(self, on_ready: OnReady) -> float:
        """One life of the engine; seconds that it served. Raises if it did not get ready."""
        self._reason = None
        self._port = leashed.free_port()
        words = self._build_command(self._settings, self._port, self.served_name)
        async with leashed.started(words, environment(self._settings), self.log_file) as process:
            self._process = process
            try:
                await self._until_healthy(process)
                self._was_healthy = True
                return await self._serve(process, on_ready)
            finally:
                self._process = None

    async def _serve(self, process: Process, on_ready: OnReady) -> float:
        """From the first healthy moment to the end; seconds since `on_ready` was done."""
        clock = asyncio.get_running_loop().time
        self.problem = f"the engine is starting: loading its policy version{self._past}"
        ready = asyncio.ensure_future(on_ready())
        died = asyncio.ensure_future(process.wait())
        try:
            await asyncio.wait({ready, died}, return_when=asyncio.FIRST_COMPLETED)
            if not ready.done():
                raise self._failed("died while its policy version was being loaded")
            ready.result()
            self.problem, began = None, clock()
            log.info("engine ready", extra={"pid": process.pid})
            await self._until_ended(died)
            return clock() - began
        finally:
            ready.cancel()
            died.cancel()

    async def _until_ended(self, died: asyncio.Future[int]) -> None:
        """Wait for its death; if it hangs, bring that about."""
        limit_s = self._settings.engine.hang_limit_s

        async def watch() -> None:
            await liveness.until_hung(self.base_url, limit_s, lambda: self.steps_under_way > 0)
            self.restart(f"it had not answered for {limit_s:.0f} s")

        watching = asyncio.create_task(watch())
        try:
            await died
        finally:
            watching.cancel()

    async def _until_healthy(self, process: Process) -> None:
        limit_s, start_up = self._settings.engine.start_limit_s, StartUp(self.log_file)
        began = asyncio.get_running_loop().time()
        healthy = asyncio.ensure_future(liveness.until_healthy(self.base_url))
        try:
            while not healthy.done():
                waited_s = asyncio.get_running_loop().time() - began
                self.problem = start_up.told(waited_s) + self._past
                if process.returncode is not None:
                    raise self._failed("did not start")
                if waited_s > limit_s:
                    raise self._failed(f"was not ready within {limit_s:.0f} s")
                await asyncio.wait({healthy}, timeout=POLL_S)
            healthy.result()
        finally:
            healthy.cancel()

    def _failed(self, what: str) -> Unavailable:
        reason = self._reason or last_error(self.log_file)
        return Unavailable(f"the engine {what}: {reason} (log: {self.log_file})", retry_after_s=10)
