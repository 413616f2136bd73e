"""Supervision: started, watched, started again, and never an orphan. With a stand-in for vLLM."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import psutil
import pytest

from galen.errors import Unavailable
from server.engines.supervisor.local import EngineProcess
from server.settings import EngineSettings, ServerSettings
from tests.server.processes import STAND_IN, Watched, gone


@pytest.fixture
def settings(tmp_path: Path) -> ServerSettings:
    return ServerSettings(model=tmp_path, state=tmp_path / "state")


@pytest.fixture
async def watched(settings: ServerSettings) -> AsyncIterator[Watched]:
    watched = Watched(settings)
    async with watched.running():
        yield watched


async def test_a_killed_engine_is_started_again(watched: Watched) -> None:
    """After `kill -9` of its server no process of the old life is left and a new life begins."""
    before = watched.pids
    os.kill(before[0], signal.SIGKILL)
    await watched.readies.get()
    assert await gone(before)
    assert not set(watched.pids) & set(before)
    assert watched.engine.restarts == 1


async def test_the_engine_is_behind_a_door_that_only_its_owner_opens(
    settings: ServerSettings,
) -> None:
    """It listens on a socket, on no port, in a folder for this user that ends with it."""
    watched = Watched(settings)
    async with watched.running():
        folder = watched.engine.socket.parent
        assert folder.stat().st_mode & 0o777 == 0o700
        server = psutil.Process(watched.pids[0])
        # A connection that it has taken bears the path, too.
        paths = {each.laddr for each in server.net_connections("unix") if each.laddr}
        assert paths == {str(watched.engine.socket)}
        assert server.net_connections("inet") == []
    assert not folder.exists()


async def test_a_restart_that_is_asked_for_says_why_meanwhile(watched: Watched) -> None:
    """The reason is the problem until the engine is back."""
    before = watched.pids
    watched.engine.restart("its weights cannot be trusted")
    assert "its weights cannot be trusted" in str(watched.engine.problem)
    await watched.readies.get()
    assert await gone(before)


async def test_an_engine_that_hangs_is_started_again(settings: ServerSettings) -> None:
    """One whose processes stand still is found out by its silence, and says so meanwhile."""
    hasty = settings.model_copy(update={"engine": EngineSettings(hang_limit_s=2)})
    watched = Watched(hasty)
    async with watched.running():
        before = watched.pids
        for pid in before:
            os.kill(pid, signal.SIGSTOP)
        await watched.until(lambda problem: "had not answered" in problem)
        await watched.readies.get()
        assert await gone(before)
        assert watched.engine.restarts == 1


async def test_an_engine_that_keeps_ending_says_how_often_and_why(settings: ServerSettings) -> None:
    """A crash loop can be told from one bad moment, and the reason is the engine's own."""
    watched = Watched(settings)
    async with watched.running():
        watched.broken = True
        watched.engine.restart("its weights cannot be trusted")
        problem = await watched.until(lambda problem: "2 times in a row" in problem)
        assert "ValueError: max_model_len is too large" in problem
        assert watched.engine.retry_after_s >= 5


@pytest.mark.parametrize("stopped", [False, True])
async def test_nothing_is_left_when_the_supervisor_is_cancelled(
    settings: ServerSettings, stopped: bool
) -> None:
    """A clean end of the gateway ends the engine's whole family by asking it to; also one whose
    processes, the leash among them, stand still."""
    watched = Watched(settings)
    async with watched.running():
        pids = watched.pids
        if stopped:
            os.killpg(os.getpgid(pids[0]), signal.SIGSTOP)
    assert await gone(pids)
    assert "told to end" in watched.engine.log_file.read_text()


async def test_a_start_that_is_cancelled_leaves_nothing(settings: ServerSettings) -> None:
    """The gateway may be told to end while its engine still starts."""
    gate, pids_file = settings.model / "gate", settings.model / "pids"
    os.mkfifo(gate)

    def slow(settings: ServerSettings, socket: Path, name: str) -> list[str]:
        return [sys.executable, str(STAND_IN), str(socket), str(pids_file), str(gate)]

    watched = Watched(settings)
    watched.engine = EngineProcess(settings, slow)
    running = asyncio.create_task(watched.engine.run(watched.on_ready))
    await watched.until(lambda _: pids_file.exists() and bool(pids_file.read_text()))
    running.cancel()
    await asyncio.wait({running})
    assert await gone(int(pid) for pid in pids_file.read_text().split())


@pytest.mark.parametrize("turns", range(1, 8))
async def test_a_start_leaves_nothing_whenever_it_is_cancelled(
    settings: ServerSettings, turns: int
) -> None:
    """Also before the gateway has learnt which process it has just started."""
    before = psutil.Process().children()
    watched = Watched(settings)
    running = asyncio.create_task(watched.engine.run(watched.on_ready))
    for _ in range(turns):
        await asyncio.sleep(0)
    running.cancel()
    await asyncio.wait({running})
    assert set(psutil.Process().children()) <= set(before)


async def test_an_engine_that_does_not_start_says_why(settings: ServerSettings) -> None:
    """The error in its log, and where the log is."""

    def broken(settings: ServerSettings, socket: Path, name: str) -> list[str]:
        return [sys.executable, str(STAND_IN), "-", "-"]

    async def on_ready() -> None:
        raise AssertionError("it never gets ready")

    engine = EngineProcess(settings, broken)
    with pytest.raises(Unavailable) as failed:
        await engine.run(on_ready)
    assert "ValueError: max_model_len is too large" in failed.value.message
    assert str(settings.state / "engine.log") in failed.value.message


async def test_what_auto_came_to_is_used_and_logged(
    settings: ServerSettings, caplog: pytest.LogCaptureFixture
) -> None:
    """One line at each start."""
    used: list[ServerSettings] = []

    def broken(settings: ServerSettings, socket: Path, name: str) -> list[str]:
        used.append(settings)
        return [sys.executable, str(STAND_IN), "-", "-"]

    caplog.set_level(logging.INFO, "server.engines.auto")
    with pytest.raises(Unavailable):
        await EngineProcess(settings, broken).run(Watched(settings).on_ready)
    assert settings.engine.enforce_eager == "auto"
    assert isinstance(used[0].engine.enforce_eager, bool)
    assert len([line for line in caplog.messages if line.startswith("engine: ")]) == 1


async def test_a_state_folder_that_cannot_be_written_is_said(settings: ServerSettings) -> None:
    """As a problem of the engine, with the path."""
    (settings.model / "file").write_text("")
    misplaced = settings.model_copy(update={"state": settings.model / "file" / "state"})
    with pytest.raises(Unavailable, match=r"cannot be started.*file/state"):
        await Watched(misplaced).engine.run(Watched(settings).on_ready)


async def test_an_engine_that_takes_too_long_is_given_up(settings: ServerSettings) -> None:
    """The start has a time limit, and what was started is ended."""

    def silent(settings: ServerSettings, socket: Path, name: str) -> list[str]:
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
