"""Supervision: started, watched, started again, and never an orphan. With a stand-in for vLLM."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import psutil
import pytest

from galen.errors import Unavailable
from server import leash
from server.engine import EngineProcess
from server.settings import EngineSettings, ServerSettings

ROOT = Path(__file__).parents[2]
STAND_IN = ROOT / "tests/fakes/engine_process.py"


@pytest.fixture
def settings(tmp_path: Path) -> ServerSettings:
    return ServerSettings(model=tmp_path, state=tmp_path / "state")


class Watched:
    """An engine under supervision; `pids` are those of its present life."""

    def __init__(self, settings: ServerSettings) -> None:
        self.readies: asyncio.Queue[None] = asyncio.Queue()
        self._file = settings.state / "pids"
        self.engine = EngineProcess(settings, self._command)

    @property
    def pids(self) -> list[int]:
        return [int(pid) for pid in self._file.read_text().splitlines()[-1].split()]

    async def on_ready(self) -> None:
        self.readies.put_nowait(None)

    def _command(self, settings: ServerSettings, port: int, name: str) -> list[str]:
        return [sys.executable, str(STAND_IN), str(port), str(self._file)]


@pytest.fixture
async def watched(settings: ServerSettings) -> AsyncIterator[Watched]:
    watched = Watched(settings)
    running = asyncio.create_task(watched.engine.run(watched.on_ready))
    await watched.readies.get()
    yield watched
    running.cancel()
    await asyncio.wait({running})


async def gone(pids: list[int]) -> bool:
    """Whether all of these end (or are zombies nobody has waited for) within ten seconds."""
    processes = []
    for pid in pids:
        with contextlib.suppress(psutil.NoSuchProcess):
            processes.append(psutil.Process(pid))
    _, alive = await asyncio.to_thread(psutil.wait_procs, processes, 10)
    return not [process for process in alive if process.status() != psutil.STATUS_ZOMBIE]


async def test_a_killed_engine_is_started_again(watched: Watched) -> None:
    """After `kill -9` of its server no process of the old life is left and a new life begins."""
    before = watched.pids
    os.kill(before[0], signal.SIGKILL)
    await watched.readies.get()
    assert await gone(before)
    assert not set(watched.pids) & set(before)
    assert watched.engine.restarts == 1


async def test_a_restart_that_is_asked_for_says_why_meanwhile(watched: Watched) -> None:
    """The reason is the problem until the engine is back."""
    before = watched.pids
    watched.engine.restart("its weights cannot be trusted")
    assert "its weights cannot be trusted" in str(watched.engine.problem)
    await watched.readies.get()
    assert await gone(before)


async def test_nothing_is_left_when_the_supervisor_is_cancelled(settings: ServerSettings) -> None:
    """A clean end of the gateway ends the engine's whole family."""
    watched = Watched(settings)
    running = asyncio.create_task(watched.engine.run(watched.on_ready))
    await watched.readies.get()
    running.cancel()
    await asyncio.wait({running})
    assert await gone(watched.pids)


async def test_nothing_is_left_when_the_gateway_is_killed(tmp_path: Path) -> None:
    """`kill -9` of the process that holds the leash ends the whole family too."""
    holder = (
        "import signal, subprocess, sys\n"
        "subprocess.Popen(sys.argv[1:], stdin=subprocess.PIPE, start_new_session=True)\n"
        "signal.pause()\n"
    )
    family_file = tmp_path / "pids"
    os.mkfifo(family_file)
    leashed = [sys.executable, leash.__file__, sys.executable, str(STAND_IN), "1", str(family_file)]
    gateway = await asyncio.create_subprocess_exec(sys.executable, "-c", holder, *leashed)
    # A named pipe is opened once somebody writes to it.
    family = [int(pid) for pid in (await asyncio.to_thread(family_file.read_text)).split()]
    gateway.kill()
    await gateway.wait()
    assert len(family) == 2
    assert await gone(family)


async def test_an_engine_that_does_not_start_says_why(settings: ServerSettings) -> None:
    """The error in its log, and where the log is."""

    def broken(settings: ServerSettings, port: int, name: str) -> list[str]:
        return [sys.executable, str(STAND_IN), "0", "-"]

    async def on_ready() -> None:
        raise AssertionError("it never gets ready")

    engine = EngineProcess(settings, broken)
    with pytest.raises(Unavailable) as failed:
        await engine.run(on_ready)
    assert "ValueError: max_model_len is too large" in failed.value.message
    assert str(settings.state / "engine.log") in failed.value.message


async def test_an_engine_that_takes_too_long_is_given_up(settings: ServerSettings) -> None:
    """The start has a time limit, and what was started is ended."""

    def silent(settings: ServerSettings, port: int, name: str) -> list[str]:
        return [sys.executable, "-c", "import signal; signal.pause()"]

    async def on_ready() -> None:
        raise AssertionError("it never gets ready")

    hasty = settings.model_copy(update={"engine": EngineSettings(start_limit_s=0.3)})
    with pytest.raises(Unavailable, match="not ready within 0 s"):
        await EngineProcess(hasty, silent).run(on_ready)


async def test_a_policy_that_cannot_be_restored_starts_the_engine_anew(
    settings: ServerSettings,
) -> None:
    """An engine that was healthy once is not given up for that."""
    watched = Watched(settings)
    tries = 0

    async def on_ready() -> None:
        nonlocal tries
        tries += 1
        if tries == 1:
            raise Unavailable("lost it")
        await watched.on_ready()

    running = asyncio.create_task(watched.engine.run(on_ready))
    await watched.readies.get()
    assert tries == 2
    running.cancel()
    await asyncio.wait({running})


async def test_the_log_of_the_life_before_is_kept(
    watched: Watched, settings: ServerSettings
) -> None:
    """Why it died can still be read after it has come back."""
    watched.engine.log_file.write_text("RuntimeError: the reason\n")
    watched.engine.restart("killed")
    await watched.readies.get()
    kept = settings.state / "engine.log.1"
    assert kept.read_text().startswith("RuntimeError: the reason")
