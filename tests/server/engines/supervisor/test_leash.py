"""The leash: nothing outlives its holder, and the log neither grows for ever nor holds up."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import psutil
import pytest

from server.engines.supervisor import leash
from server.engines.supervisor.address import new_socket, private
from server.engines.supervisor.engine_log import last_error
from server.engines.supervisor.leash import Log
from tests.server.processes import STAND_IN, gone

HOLDER = (
    "import signal, subprocess, sys\n"
    "subprocess.Popen(sys.argv[1:], stdin=subprocess.PIPE, start_new_session=True)\n"
    "signal.pause()\n"
)


def logs(file: Path) -> list[bytes]:
    """What the log and the older ones beside it hold, the newest first."""
    names = [file, *(file.with_suffix(f".log.{age}") for age in range(1, 9))]
    return [name.read_bytes() for name in names if name.exists()]


def test_a_full_log_makes_way_for_the_next(tmp_path: Path) -> None:
    """The newest lines are in the log, those before beside it, and the oldest are gone."""
    with contextlib.closing(Log(tmp_path / "engine.log", most_bytes=10)) as log:
        for number in range(7):
            log.write(b"line %d\n" % number)
    assert logs(tmp_path / "engine.log") == [b"line 6\n", b"line 5\n", b"line 4\n", b"line 3\n"]


def test_each_life_has_its_own_log_with_room_for_all_its_lines(tmp_path: Path) -> None:
    """The log of the life before is kept beside it; odd bytes and signs stay as they were."""
    for life in (b"one %s\n", "一\n".encode()):
        with contextlib.closing(Log(tmp_path / "engine.log")) as log:
            log.write(life)
            log.write(b"two \xff\n")
    kept = b"two \\xff\n"
    assert logs(tmp_path / "engine.log") == ["一\n".encode() + kept, b"one %s\n" + kept]


async def leashed(log: Path, code: str) -> asyncio.subprocess.Process:
    """A leash that holds a Python program."""
    words = [sys.executable, leash.__file__, str(log), sys.executable, "-c", code]
    return await asyncio.create_subprocess_exec(
        *words, stdin=asyncio.subprocess.PIPE, start_new_session=True
    )


async def test_a_full_disk_does_not_hold_up_the_command(tmp_path: Path) -> None:
    """It writes more than any pipe holds, and comes to its end."""
    (tmp_path / "engine.log").symlink_to("/dev/full")
    done = tmp_path / "done"
    code = f"print('x' * 1_000_000, flush=True); open({str(done)!r}, 'w').close()"
    await (await leashed(tmp_path / "engine.log", code)).wait()
    assert done.exists()


async def test_last_words_are_kept_although_a_child_lives_on(tmp_path: Path) -> None:
    """A grandchild that holds the pipe open neither hides the reason nor outlives the command."""
    code = (
        "import os, subprocess, sys\n"
        "forever = [sys.executable, '-c', 'import signal; signal.pause()']\n"
        "child = subprocess.Popen(forever)\n"
        "print(child.pid, 'ValueError: the reason', flush=True)\n"
        "os._exit(1)\n"
    )
    await (await leashed(tmp_path / "engine.log", code)).wait()
    pid, reason = (tmp_path / "engine.log").read_text().splitlines()[1].split(" ", 1)
    assert reason == "ValueError: the reason"
    assert await gone([int(pid)])


async def test_a_command_that_cannot_be_run_is_said(tmp_path: Path) -> None:
    """In the log, where the reason is looked for."""
    words = [sys.executable, leash.__file__, str(tmp_path / "engine.log"), str(tmp_path / "none")]
    process = await asyncio.create_subprocess_exec(*words, stdin=asyncio.subprocess.PIPE)
    assert await process.wait() == 1
    assert "cannot run" in (tmp_path / "engine.log").read_text()


async def test_a_death_by_a_signal_is_told(tmp_path: Path) -> None:
    """Else the last line of the log is taken for the reason, whatever it says."""
    log = tmp_path / "engine.log"
    code = "import os; print('at work', flush=True); os.kill(os.getpid(), 9)"
    await (await leashed(log, code)).wait()
    assert last_error(log) == "error: killed by signal 9 (Killed)"


async def test_who_ends_by_itself_was_killed_by_nobody(tmp_path: Path) -> None:
    """Neither with a status of its own, nor by aborting, which says why."""
    log = tmp_path / "engine.log"
    for last in ("sys.exit(3)", "os.abort()"):
        code = f"import os, sys; print('ValueError: no', flush=True); {last}"
        await (await leashed(log, code)).wait()
        assert last_error(log) == "ValueError: no"


@pytest.fixture
async def family(tmp_path: Path) -> AsyncIterator[tuple[asyncio.subprocess.Process, list[int]]]:
    """A gateway that holds a leash, and the processes on it, the leash first."""
    pids_file = tmp_path / "pids"
    os.mkfifo(pids_file)
    socket = new_socket(tempfile.gettempdir())
    command = [sys.executable, str(STAND_IN), str(socket), str(pids_file)]
    leashed = [sys.executable, leash.__file__, str(tmp_path / "engine.log"), *command]
    with private(socket.parent):
        gateway = await asyncio.create_subprocess_exec(sys.executable, "-c", HOLDER, *leashed)
        # A named pipe is opened once somebody writes to it.
        pids = [int(pid) for pid in (await asyncio.to_thread(pids_file.read_text)).split()]
        holder = psutil.Process(pids[0]).ppid()
        yield gateway, [holder, *pids]
        with contextlib.suppress(ProcessLookupError):
            gateway.kill()
        await gateway.wait()


async def test_nothing_is_left_when_the_gateway_is_killed(
    family: tuple[asyncio.subprocess.Process, list[int]],
) -> None:
    """`kill -9` of the process that holds the leash ends the whole family."""
    gateway, pids = family
    gateway.kill()
    assert len(pids) == 3
    assert await gone(pids)


async def test_nothing_is_left_of_a_family_that_was_stopped(
    family: tuple[asyncio.subprocess.Process, list[int]],
) -> None:
    """Stopped processes, the leash among them, do not outlive a killed gateway either."""
    gateway, pids = family
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    gateway.kill()
    assert await gone(pids)
