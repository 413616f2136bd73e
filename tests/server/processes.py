"""Processes that tests of the engine's supervision start and look for."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator, Callable, Iterable
from pathlib import Path

import psutil

from server.engines.supervisor.local import EngineProcess
from server.settings import ServerSettings

LIMIT_S = 60.0
"""For what takes a second, on a machine that has much else to do."""
STAND_IN = Path(__file__).parents[1] / "fakes/engine_process.py"


class Watched:
    """An engine under supervision; `pids` are those of its present life. A `broken` one does not
    start."""

    def __init__(self, settings: ServerSettings) -> None:
        self.readies: asyncio.Queue[None] = asyncio.Queue()
        self._file = settings.state / "pids"
        self.broken = False
        self.engine = EngineProcess(settings, self._command)

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Under supervision, and ready for the first time."""
        running = asyncio.create_task(self.engine.run(self.on_ready))
        try:
            await self.readies.get()
            yield
        finally:
            running.cancel()
            await asyncio.wait({running})

    async def until(self, happened: Callable[[str], bool]) -> str:
        """The problem, once it is as wanted."""
        async with asyncio.timeout(LIMIT_S):
            while True:
                if happened(problem := str(self.engine.problem)):
                    return problem
                await asyncio.sleep(0.01)

    @property
    def pids(self) -> list[int]:
        return [int(pid) for pid in self._file.read_text().splitlines()[-1].split()]

    async def on_ready(self) -> None:
        self.readies.put_nowait(None)

    def _command(self, settings: ServerSettings, socket: Path, name: str) -> list[str]:
        return [sys.executable, str(STAND_IN), "-" if self.broken else str(socket), str(self._file)]


async def gone(pids: Iterable[int]) -> bool:
    """Whether all of these end (or are zombies nobody has waited for) within a minute."""
    processes = []
    for pid in pids:
        with contextlib.suppress(psutil.NoSuchProcess):
            processes.append(psutil.Process(pid))
    _, alive = await asyncio.to_thread(psutil.wait_procs, processes, LIMIT_S)
    return not [process for process in alive if process.status() != psutil.STATUS_ZOMBIE]
