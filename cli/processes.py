"""Processes that outlive the command that started them: start, recognise, stop.

A pid alone may belong to somebody else tomorrow, so a process is known by its pid and its start.
"""

from __future__ import annotations

import os
import socket
import subprocess
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


def start(
    name: str, command: Sequence[str], log: Path, url: str | None = None
) -> tuple[Started, subprocess.Popen[bytes]]:
    """Start `command` in a session of its own, with its output in `log`, which begins empty."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as out:
        child = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    mark = mark_of(child.pid) or ""
    folder = Path.cwd()
    return Started(name=name, pid=child.pid, mark=mark, folder=folder, log=log, url=url), child


def stop(processes: Iterable[Started], limit_s: float) -> None:
    """Ask each of `processes` to end, then end what is left of them and of their children.

    `limit_s` bounds the asking, for all of them together. A pid that belongs to another process
    by now is left alone.
    """
    families = [family for started in processes if (family := _family(started))]
    for leader, *_ in families:
        _signal(leader, kill=False)
    everybody = [member for family in families for member in family]
    for member in _still_alive(everybody, limit_s):
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
        if connection.status != psutil.CONN_LISTEN or connection.laddr.port != port:
            continue
        if connection.pid is not None:
            return f"{psutil.Process(connection.pid).name()} (pid {connection.pid})"
    return None
