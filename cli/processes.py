"""Starts, recognises and stops processes that outlive the command that started them.

A pid is reused in time, so a process is identified by its pid and its start time.
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
    """A process as it is recorded on disk. It leads its own session, so it survives the terminal
    and a Ctrl-C there."""

    model_config = ConfigDict(frozen=True)

    name: str
    pid: int
    mark: str
    """Distinguishes this process from a later one with the same pid."""
    folder: Path
    """Its working directory."""
    log: Path | None = None
    url: str | None = None


def mark_of(pid: int) -> str | None:
    """The process's mark (see `Started`); None if it has ended."""
    try:
        process = psutil.Process(pid)
        if process.status() == psutil.STATUS_ZOMBIE:
            return None
        if sys.platform != "linux":
            return str(process.create_time())
        # Ticks since boot, which do not change when the clock is set.
        return Path(f"/proc/{pid}/stat").read_text("utf-8").rpartition(")")[2].split()[19]
    except (psutil.NoSuchProcess, FileNotFoundError, ProcessLookupError):
        return None


def is_alive(started: Started) -> bool:
    return mark_of(started.pid) == started.mark


def this_process(name: str) -> Started:
    return Started(name=name, pid=os.getpid(), mark=mark_of(os.getpid()) or "", folder=Path.cwd())


def start(name: str, command: Sequence[str], log: Path, url: str | None = None) -> Started:
    """Start `command` in its own session; its output replaces the contents of `log`."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as out:
        # subprocess.Popen would warn, since the process outlives its parent.
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
    """A child's exit code, negative for a signal; None while it runs. Once it has returned a code
    it must not be called again."""
    pid, status = os.waitpid(started.pid, os.WNOHANG)
    return os.waitstatus_to_exitcode(status) if pid else None


def stop(processes: Iterable[Started], limit_s: float) -> None:
    """Terminate `processes` and their children; kill those that do not end in time.

    All processes together have `limit_s` seconds to end by themselves. A pid that now belongs to
    another process is left alone.
    """
    families = [family for started in processes if (family := _family(started))]
    leaders = [family[0] for family in families]
    everybody = [member for family in families for member in family]
    for leader in leaders:
        _signal(leader, kill=False)
    _still_alive(leaders, limit_s)
    # A service that ended by itself has stopped its children; the rest are terminated, then killed.
    for member in _still_alive(everybody, 0):
        _signal(member, kill=False)
    for member in _still_alive(everybody, min(limit_s, 5.0)):
        _signal(member, kill=True)
    _still_alive(everybody, 5.0)


def _family(started: Started) -> list[psutil.Process]:
    """The process and its descendants; if it is dead, the processes that it left behind."""
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
    """Processes of the dead leader's session. Its number is not reused while the session lives; the
    folder is compared as well, in case it has been reused since."""
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
    """The process that listens on `port`; None if this user may not see it."""
    try:
        connections = psutil.net_connections(kind="tcp")
    except psutil.AccessDenied:
        return None
    for connection in connections:
        listens = connection.status == psutil.CONN_LISTEN and connection.laddr[1:2] == (port,)
        if listens and connection.pid is not None:
            return f"{psutil.Process(connection.pid).name()} (pid {connection.pid})"
    return None
