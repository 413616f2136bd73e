"""Supervises one vLLM server in a subprocess on a Unix socket.

The engine is vLLM's own OpenAI server, reached only over HTTP: nothing here imports vllm. It runs
in a process group of its own under `supervisor.leash`. When it dies or no longer answers, it is
started again with back-off, and counts as ready only once `on_ready` has put the current policy
version back.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import tempfile
from asyncio.subprocess import Process
from collections.abc import Callable
from pathlib import Path
from typing import Any

from galen.errors import GalenError, Unavailable
from server.engines import auto
from server.engines.engine import PLAIN_RELOAD, OnReady
from server.engines.plugins.worker import RELOAD
from server.engines.supervisor import address, leashed, liveness
from server.engines.supervisor.engine_log import last_error
from server.engines.supervisor.launch import SOCKETS_VARIABLE, command, environment
from server.settings import ServerSettings

log = logging.getLogger(__name__)

BuildCommand = Callable[[ServerSettings, Path, str], list[str]]
"""Settings, socket and served name to the words of a command line."""

POLL_S = 0.2
FIRST_BACKOFF_S, MOST_DOUBLINGS = 0.5, 6
STEADY_S = 60.0
"""An engine that served this long and then died starts again without added back-off."""
RETRY_AFTER_S = 5.0


class EngineProcess:
    """A local vLLM. Follows `server.engines.engine.Engine`."""

    def __init__(self, settings: ServerSettings, build_command: BuildCommand = command) -> None:
        self._settings = settings
        self._build_command = build_command
        self._process: Process | None = None
        self._was_healthy = False
        self._reason: str | None = None
        """Why the gateway ended it, if it did."""
        self._past = ""
        """What the problem says about earlier failures while the engine starts."""
        self.served_name = f"engine-{secrets.token_hex(6)}"
        self.reload_method = RELOAD if settings.engine.backend == "vllm" else PLAIN_RELOAD
        self.problem: str | None = "the engine has not been started"
        self.retry_after_s = RETRY_AFTER_S
        self.restarts = 0
        self.is_fresh = True
        self.steps_under_way = 0
        self.log_file = settings.state / "engine.log"
        self.socket = address.new_socket(tempfile.gettempdir())

    @property
    def base_url(self) -> str:
        return address.BASE_URL

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
        """Wait before the next start, the longer the more starts have failed in a row."""
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
        """One process of the engine, from its start to its end; how many seconds it served.

        Raises if it did not get ready.
        """
        self._reason = None
        settings = auto.resolved(self._settings)
        words = self._build_command(settings, self.socket, self.served_name)
        variables = environment(settings) | {SOCKETS_VARIABLE: str(self.socket.parent)}
        with address.private(self.socket.parent):
            async with leashed.started(words, variables, self.log_file) as process:
                self._process = process
                died = asyncio.ensure_future(process.wait())
                try:
                    await self._until_healthy(died)
                    self._was_healthy = True
                    await self._until_restored(died, on_ready)
                    return await self._until_dead(died)
                finally:
                    died.cancel()
                    self._process = None

    async def _until_healthy(self, died: asyncio.Future[int]) -> None:
        limit_s = self._settings.engine.start_limit_s
        began = asyncio.get_running_loop().time()
        healthy = asyncio.ensure_future(liveness.until_healthy(self.base_url, self.socket))
        try:
            while not healthy.done():
                waited_s = asyncio.get_running_loop().time() - began
                self.problem = f"the engine is starting for {waited_s:.0f} s{self._past}"
                if died.done():
                    raise self._failed("did not start")
                if waited_s > limit_s:
                    raise self._failed(f"was not ready within {limit_s:.0f} s")
                await asyncio.wait({healthy}, timeout=POLL_S)
            healthy.result()
        finally:
            healthy.cancel()

    async def _until_restored(self, died: asyncio.Future[int], on_ready: OnReady) -> None:
        self.problem = f"the engine is starting: loading its policy version{self._past}"
        restoring = asyncio.ensure_future(on_ready())
        try:
            either: set[asyncio.Future[Any]] = {restoring, died}
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
            if not restoring.done():
                raise self._failed("died while its policy version was being loaded")
            restoring.result()
        finally:
            restoring.cancel()
        self.problem = None
        log.info("engine ready")

    async def _until_dead(self, died: asyncio.Future[int]) -> float:
        """How many seconds it served. If it stops answering, it is killed."""
        ready_at = asyncio.get_running_loop().time()
        watching = asyncio.create_task(self._watch())
        try:
            await died
        finally:
            watching.cancel()
        return asyncio.get_running_loop().time() - ready_at

    async def _watch(self) -> None:
        limit_s = self._settings.engine.hang_limit_s
        self.restart(
            await liveness.until_lost(
                self.base_url, self.socket, limit_s, lambda: self.steps_under_way > 0
            )
        )

    def _failed(self, what: str) -> Unavailable:
        reason = self._reason or last_error(self.log_file)
        return Unavailable(f"the engine {what}: {reason} (log: {self.log_file})", retry_after_s=10)
