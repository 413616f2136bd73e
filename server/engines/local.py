"""Supervises one vLLM server in a subprocess on a Unix socket.

The engine is vLLM's own OpenAI server, reached over HTTP alone: nothing here imports vllm. It runs
in a process group of its own under `server.engines.leash`. When it dies or no longer answers, it is
started again with back-off, and counts as ready only once `on_ready` has put the current policy
version back.

Weights that cannot be read into a running engine are taken by a start on them, for which whoever
loads them asks. They are on trial until that one settles for them: an engine that dies before is
started again on those from before.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import tempfile
from asyncio.subprocess import Process
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from galen.errors import GalenError, Unavailable
from server.engines import address, leashed, liveness
from server.engines.engine import OnReady
from server.engines.launch import SOCKETS_VARIABLE, command, compose, environment, last_error
from server.engines.startup import StartUp
from server.settings import ServerSettings

log = logging.getLogger(__name__)

BuildCommand = Callable[[ServerSettings, Path, str], list[str]]
"""Settings, socket and served name to the words of a command line."""

POLL_S = 0.2
FIRST_BACKOFF_S, MOST_DOUBLINGS = 0.5, 6
STEADY_S = 60.0
"""An engine that served this long and then died starts again without added back-off."""
RETRY_AFTER_S = 5.0


@dataclass(frozen=True, slots=True)
class _Move:
    """A restart with other weights that somebody waits for."""

    folder: Path | None
    healthy: asyncio.Future[None]


class EngineProcess:
    """A local vLLM. Follows `server.engines.engine.Engine`."""

    def __init__(self, settings: ServerSettings, build_command: BuildCommand = command) -> None:
        self._settings = settings
        self._build_command = build_command
        self._process: Process | None = None
        self._was_healthy = False
        self._reason: str | None = None
        """Why it was ended, if it was we who did."""
        self._past = ""
        """What the problem says about the lives before, while it starts."""
        self._settled: Path | None = None
        self._move: _Move | None = None
        self._restoring: asyncio.Future[None] | None = None
        """`on_ready` of this life, once it was begun."""
        self._ready_at: float | None = None
        self.served_name = f"engine-{secrets.token_hex(6)}"
        self.problem: str | None = "the engine has not been started"
        self.retry_after_s = RETRY_AFTER_S
        self.restarts = 0
        self.is_fresh = True
        self.steps_under_way = 0
        self.started_with: Path | None = None
        self.log_file = settings.state / "engine.log"
        self.socket = address.new_socket(tempfile.gettempdir())

    @property
    def base_url(self) -> str:
        return address.BASE_URL

    @property
    def on_trial(self) -> bool:
        return self.started_with != self._settled

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

    async def restart_with(self, folder: Path) -> None:
        if self._process is None:
            raise Unavailable("the engine is away", retry_after_s=self.retry_after_s)
        log.info("engine is restarted with other weights", extra={"folder": str(folder)})
        is_base = folder == self._settings.model.resolve()
        healthy = asyncio.get_running_loop().create_future()
        self._move = _Move(None if is_base else folder, healthy)
        leashed.kill(self._process)
        await healthy

    def settle(self) -> None:
        self._settled = self.started_with

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
        """One life of the engine, moves to other weights included; seconds that it served.

        Raises if it did not get ready.
        """
        if self._settled and not self._settled.is_dir():
            self._settled = None
        self._reason, self._restoring, self._ready_at = None, None, None
        self.started_with = self._settled
        try:
            while True:
                await self._serve(on_ready)
                if not self._move:
                    return self._served_s()
                self.started_with = self._move.folder
        except GalenError as error:
            if self._move and not self._move.healthy.done():
                self._move.healthy.set_exception(error)
            elif not self._restoring:
                # Perhaps the weights are at fault. The policy asks for them again if it wants them.
                self._settled = None
            raise
        finally:
            if self._move:
                self._move.healthy.cancel()
                self._move = None
            if self._restoring:
                self._restoring.cancel()

    async def _serve(self, on_ready: OnReady) -> None:
        """One process of the engine, from its start to its end."""
        words = self._build_command(self._launched(), self.socket, self.served_name)
        variables = environment(self._settings) | {SOCKETS_VARIABLE: str(self.socket.parent)}
        with address.private(self.socket.parent):
            async with leashed.started(words, variables, self.log_file) as process:
                self._process = process
                try:
                    await self._until_healthy(process)
                    self._was_healthy = True
                    if not self._restoring:
                        self._restoring = asyncio.ensure_future(on_ready())
                    if self._move and not self._move.healthy.done():
                        self._move.healthy.set_result(None)
                    self._move = None
                    await self._until_ended(process, self._restoring)
                finally:
                    self._process = None

    def _launched(self) -> ServerSettings:
        """The settings, with the weights that it is to start with."""
        if self.started_with is None:
            return self._settings
        into = self._settings.state / "start"
        model = compose(self._settings.model.resolve(), self.started_with, into)
        return self._settings.model_copy(update={"model": model})

    async def _until_healthy(self, process: Process) -> None:
        limit_s, start_up = self._settings.engine.start_limit_s, StartUp(self.log_file)
        began = asyncio.get_running_loop().time()
        healthy = asyncio.ensure_future(liveness.until_healthy(self.base_url, self.socket))
        try:
            while not healthy.done():
                waited_s = asyncio.get_running_loop().time() - began
                if self.problem:  # Else requests wait at the gate while it moves.
                    self.problem = start_up.told(waited_s) + self._past
                if process.returncode is not None:
                    raise self._failed("did not start")
                if waited_s > limit_s:
                    raise self._failed(f"was not ready within {limit_s:.0f} s")
                await asyncio.wait({healthy}, timeout=POLL_S)
            healthy.result()
        finally:
            healthy.cancel()

    async def _until_ended(self, process: Process, restoring: asyncio.Future[None]) -> None:
        """From its first healthy moment on."""
        died = asyncio.ensure_future(process.wait())
        try:
            if not restoring.done():
                self.problem = f"the engine is starting: loading its policy version{self._past}"
                either: set[asyncio.Future[Any]] = {restoring, died}
                await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
            if not restoring.done():
                if not self._move:
                    raise self._failed("died while its policy version was being loaded")
                return
            restoring.result()
            if self._ready_at is None:
                self.problem, self._ready_at = None, asyncio.get_running_loop().time()
                log.info("engine ready", extra={"pid": process.pid})
            await self._watched(died)
        finally:
            died.cancel()

    async def _watched(self, died: asyncio.Future[int]) -> None:
        """Wait for its death; if it is lost without one, bring that about."""
        limit_s = self._settings.engine.hang_limit_s

        async def watch() -> None:
            self.restart(
                await liveness.until_lost(
                    self.base_url, self.socket, limit_s, lambda: self.steps_under_way > 0
                )
            )

        watching = asyncio.create_task(watch())
        try:
            await died
        finally:
            watching.cancel()

    def _served_s(self) -> float:
        now = asyncio.get_running_loop().time()
        return 0.0 if self._ready_at is None else now - self._ready_at

    def _failed(self, what: str) -> Unavailable:
        reason = self._reason or last_error(self.log_file)
        return Unavailable(f"the engine {what}: {reason} (log: {self.log_file})", retry_after_s=10)
