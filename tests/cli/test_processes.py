"""Laws of the processes that outlive their command, held against real processes."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from cli import processes
from cli.processes import Started

Starter = Callable[..., Started]
STUBBORN = "trap '' TERM; echo ready; while :; do sleep 1000; done"
PARENT = "sleep 1000 & echo $!; wait"
CARELESS = "sleep 1000 & echo $!"


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Starter]:
    """Starts shell lines through the code under test; ends and reaps what a test left."""
    everything: list[Started] = []

    def starter(line: str, name: str = "service") -> Started:
        everything.append(processes.start(name, ["sh", "-c", line], tmp_path / f"{name}.log"))
        return everything[-1]

    yield starter
    for started in everything:
        if processes.is_alive(started):
            os.kill(started.pid, signal.SIGKILL)


def until(condition: Callable[[], object]) -> None:
    """Wait for something that another process does."""
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, "it never came"
        time.sleep(0.01)


def said(started: Started) -> str:
    """What a process wrote, once it has written a line."""
    assert started.log is not None
    log = started.log
    until(lambda: log.read_text().endswith("\n"))
    return log.read_text().strip()


def test_a_started_process_is_alive_until_stopped(start: Starter) -> None:
    """What was started is alive, and after `stop` it is not."""
    started = start("exec sleep 1000")
    assert processes.is_alive(started)
    processes.stop([started], limit_s=10)
    assert not processes.is_alive(started)


def test_stop_leaves_other_processes_alone(start: Starter) -> None:
    """Stopping one process does nothing to another, though it runs the same program."""
    one, other = start("exec sleep 1000", "one"), start("exec sleep 1000", "other")
    processes.stop([one], limit_s=10)
    assert (processes.is_alive(one), processes.is_alive(other)) == (False, True)


def test_a_pid_that_was_reused_is_left_alone(start: Starter) -> None:
    """A record whose pid belongs to a later process counts as dead, and the other one lives on."""
    stranger = start("exec sleep 1000")
    stale = stranger.model_copy(update={"mark": "1"})
    assert not processes.is_alive(stale)
    processes.stop([stale], limit_s=1)
    assert processes.is_alive(stranger)


def test_stop_ends_the_children_too(start: Starter) -> None:
    """A service's own subprocess does not outlive it."""
    started = start(PARENT)
    child = int(said(started))
    processes.stop([started], limit_s=10)
    assert processes.mark_of(child) is None


def test_what_a_dead_service_left_behind_is_ended(start: Starter) -> None:
    """A service that has died already has its subprocess ended all the same."""
    started = start(CARELESS)
    child = int(said(started))
    until(lambda: not processes.is_alive(started))
    os.waitpid(started.pid, 0)
    assert processes.mark_of(child) is not None
    processes.stop([started], limit_s=10)
    assert processes.mark_of(child) is None


def test_who_ignores_the_request_to_end_is_killed(start: Starter) -> None:
    """After the limit, a process that will not end is killed."""
    started = start(STUBBORN)
    said(started)
    processes.stop([started], limit_s=0.2)
    assert not processes.is_alive(started)


def test_a_process_is_asked_before_it_is_killed(start: Starter) -> None:
    """A service gets the chance to put its things in order."""
    started = start("trap 'echo bye; exit' TERM; echo ready; while :; do sleep 0.01; done")
    said(started)
    processes.stop([started], limit_s=10)
    assert said(started) == "ready\nbye"


def test_stopping_what_is_gone_is_nothing(start: Starter) -> None:
    """Stopping twice is as good as stopping once."""
    started = start("exec sleep 1000")
    processes.stop([started], limit_s=10)
    processes.stop([started], limit_s=10)
    assert not processes.is_alive(started)


def test_a_zombie_is_not_alive(start: Starter) -> None:
    """A process that has ended but was not yet reaped counts as dead."""
    started = start("exit 0")
    until(lambda: psutil.Process(started.pid).status() == psutil.STATUS_ZOMBIE)
    assert not processes.is_alive(started)


@pytest.mark.parametrize(("line", "code"), [("exit 0", 0), ("exit 3", 3), ("kill -9 $$", -9)])
def test_the_exit_code_is_known_once_it_has_ended(line: str, code: int, start: Starter) -> None:
    """None while it runs, then the code, or the signal's number with a minus."""
    started = start(f"read nothing; echo; {line}")
    until(lambda: not processes.is_alive(started))
    assert processes.exit_code(started) == code


def test_a_running_process_has_no_exit_code(start: Starter) -> None:
    """Asking a running process does not wait for it."""
    assert processes.exit_code(start("exec sleep 1000")) is None


def test_a_started_process_leads_its_own_session(start: Starter) -> None:
    """It gets no Ctrl-C from the terminal and does not end with it."""
    started = start("exec sleep 1000")
    assert os.getsid(started.pid) == started.pid != os.getsid(0)


def test_output_goes_to_the_log_which_begins_empty(start: Starter) -> None:
    """A log tells of this start only, standard error included."""
    assert said(start("echo first")) == "first"
    assert said(start("echo second >&2")) == "second"


def test_this_process_knows_itself() -> None:
    """A command can write itself down and be recognised."""
    assert processes.is_alive(processes.this_process("up"))


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.socket() as server:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as every server does
        server.bind(("127.0.0.1", 0))
        server.listen()
        yield server


def test_a_taken_port_is_not_free_and_its_holder_is_known(listener: socket.socket) -> None:
    """The message about a taken port can say who has it."""
    port = listener.getsockname()[1]
    assert not processes.is_free("127.0.0.1", port)
    holder = processes.holder_of(port)
    assert holder is not None
    assert f"(pid {os.getpid()})" in holder


def test_a_closed_port_is_free_at_once(listener: socket.socket) -> None:
    """`galen up` right after `galen down` finds its ports free, although connections linger."""
    port = listener.getsockname()[1]
    with socket.create_connection(("127.0.0.1", port)):
        listener.accept()[0].close()
    listener.close()
    assert processes.is_free("127.0.0.1", port)
    assert processes.holder_of(port) is None


def test_signals_to_the_command_do_not_reach_what_it_started(tmp_path: Path) -> None:
    """Ctrl-C in the terminal goes to the foreground group, which a service is not part of."""
    code = (
        "import os, signal, sys; from pathlib import Path; from cli import processes\n"
        "signal.signal(signal.SIGINT, lambda *_: None)\n"
        "started = processes.start('s', ['sleep', '1000'], Path(sys.argv[1]))\n"
        "os.killpg(0, signal.SIGINT)\n"
        "print(started.model_dump_json()); os._exit(0)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "log")],
        capture_output=True,
        text=True,
        check=True,
        start_new_session=True,
    )
    started = Started.model_validate_json(done.stdout)
    assert processes.is_alive(started)
    os.kill(started.pid, signal.SIGKILL)
