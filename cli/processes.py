"""Processes that outlive the command that started them: start, recognise, stop.

A pid alone may belong to somebody else tomorrow, so a process is known by its pid and its start.
"""

from __future__ import annotations

import os
import socket
import sys
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path

import psutil
from pydantic import BaseModel, ConfigDict

POLL_S = 0.1


class Started(BaseModel):
    """A process as it is written to disk. It leads a session of its own, so it survives the
    terminal and a Ctrl-C there."""

    model_config = ConfigDict(frozen=True)

    name: str
    pid: int
    mark: str
    """Tells this process from a later one with the same pid."""
    folder: Path
    """Its working directory."""
    log: Path | None = None
    url: str | None = None


def mark_of(pid: int) -> str | None:
    """What tells a process from a later one with its pid; None if it is no more."""
    try:
        process = psutil.Process(pid)
        if process.status() == psutil.STATUS_ZOMBIE:
            return None
        if sys.platform != "linux":
            return str(process.create_time())
        # In ticks since boot: unlike a date it does not move when the clock is set.
        return Path(f"/proc/{pid}/stat").read_text("utf-8").rpartition(")")[2].split()[19]
    except (psutil.NoSuchProcess, FileNotFoundError, ProcessLookupError):
        return None


def is_alive(started: Started) -> bool:
    return mark_of(started.pid) == started.mark


def this_process(name: str) -> Started:
    return Started(name=name, pid=os.getpid(), mark=mark_of(os.getpid()) or "", folder=Path.cwd())


def start(name: str, command: Sequence[str], log: Path, url: str | None = None) -> Started:
    """Start `command` in a session of its own, with its output in `log`, which begins empty."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as out:
        # Not subprocess.Popen, which warns of a process that is meant to outlive its parent.
        pid = os.posix_spawnp(
            command[0],
            list(command),
            os.environ,
            file_actions=[
                (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
                (os.POSIX_SPAWN_DUP2, out.fileno(), 1),
                (os.POSIX_SPAWN_DUP2, out.fileno(), 2),
            ],
            setsid=True,
        )
    mark = mark_of(pid) or ""
    return Started(name=name, pid=pid, mark=mark, folder=Path.cwd(), log=log, url=url)


def exit_code(started: Started) -> int | None:
    """How a child of this process ended, negative for a signal; None while it runs. Ask no more
    once it has answered."""
    pid, status = os.waitpid(started.pid, os.WNOHANG)
    return os.waitstatus_to_exitcode(status) if pid else None


def stop(processes: Iterable[Started], limit_s: float) -> None:
    """Ask each of `processes` to end, then end what is left of them and of their children.

    `limit_s` bounds the asking, for all of them together. A pid that belongs to another process
    by now is left alone.
    """
    families = [family for started in processes if (family := _family(started))]
    leaders = [family[0] for family in families]
    everybody = [member for family in families for member in family]
    for leader in leaders:
        _signal(leader, kill=False)
    _still_alive(leaders, limit_s)
    # A service that ended well has ended its children; whoever is left is asked, then killed.
    for member in _still_alive(everybody, 0):
        _signal(member, kill=False)
    for member in _still_alive(everybody, min(limit_s, 5.0)):
        _signal(member, kill=True)
    _still_alive(everybody, 5.0)


def _family(started: Started) -> list[psutil.Process]:
    """The process and all that it started; what it left behind if it is dead itself."""
    mark = mark_of(started.pid)
    if mark == started.mark:
        leader = psutil.Process(started.pid)
        return [leader, *_children(leader)]
    return _left_behind(started) if mark is None else []


def _children(leader: psutil.Process) -> list[psutil.Process]:
    try:
        return leader.children(recursive=True)
    except psutil.NoSuchProcess:
        return []


def _left_behind(started: Started) -> list[psutil.Process]:
    """Processes of the dead leader's session. A live session keeps its number from being reused;
    the folder is compared besides, in case the number went round."""
    members = []
    for process in psutil.process_iter():
        try:
            if os.getsid(process.pid) == started.pid and Path(process.cwd()) == started.folder:
                members.append(process)
        except (psutil.Error, ProcessLookupError, PermissionError):
            continue
    return members


def _signal(process: psutil.Process, *, kill: bool) -> None:
    with suppress(psutil.NoSuchProcess):
        process.kill() if kill else process.terminate()


def _still_alive(processes: Sequence[psutil.Process], limit_s: float) -> list[psutil.Process]:
    """Those of `processes` that have not ended after `limit_s` seconds."""
    deadline = time.monotonic() + limit_s
    alive = list(processes)
    while alive := [process for process in alive if _runs(process)]:
        if time.monotonic() >= deadline:
            break
        time.sleep(POLL_S)
    return alive


def _runs(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def is_free(host: str, port: int) -> bool:
    """Whether a service could listen on this port now."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True


def holder_of(port: int) -> str | None:
    """Who listens on `port`, as far as this user may know."""
    try:
        connections = psutil.net_connections(kind="tcp")
    except psutil.AccessDenied:
        return None
    for connection in connections:
        listens = connection.status == psutil.CONN_LISTEN and connection.laddr[1:2] == (port,)
        if listens and connection.pid is not None:
            return f"{psutil.Process(connection.pid).name()} (pid {connection.pid})"
    return None
