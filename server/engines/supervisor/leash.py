"""Runs a command that ends, with all its children, when the process that started it ends.

    python leash.py LOG COMMAND…

Started by the gateway in a process group of its own, with a pipe as standard input. However the
gateway ends, kill -9 included, the pipe closes, and the whole group is ended. (Linux's parent-death
signal would reach only the direct child; vLLM's engine core is a grandchild and would live on.)

What the command writes goes to LOG, which is rotated by size. A disk that is full costs lines of
the log, and never holds up the command.

Run as a file; needs only the standard library.
"""

from __future__ import annotations

import contextlib
import ctypes
import logging
import os
import select
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from logging.handlers import RotatingFileHandler
from pathlib import Path

GRACE_S = 5.0
"""Seconds that the command has to end by itself."""
DRAIN_S = 1.0
"""Seconds at most to read what a command wrote before it ended."""
LOG_BYTES = 10 * 1024 * 1024
"""A log's size at which the next begins."""
OLD_LOGS = 3
FIRST_LINE = b"galen: here a life of the engine begins\n"
"""Begins the first log of a life. A log that was begun because the last was full lacks it."""
_DEATH_OF_PARENT = 1
"""Linux's `prctl` number PR_SET_PDEATHSIG: a signal for this process when its parent dies."""


class Log(RotatingFileHandler):
    """The command's log, rotated by size; what a full disk does not take is lost."""

    terminator = ""

    def __init__(self, file: Path, most_bytes: int = LOG_BYTES) -> None:
        logging.raiseExceptions = False
        super().__init__(
            file, maxBytes=most_bytes, backupCount=OLD_LOGS, encoding="utf-8", delay=True
        )
        if file.is_file():
            self.doRollover()

    def write(self, data: bytes) -> None:
        text = data.decode("utf-8", "backslashreplace")
        self.handle(logging.makeLogRecord({"msg": text}))


def main(log: Log, command: Sequence[str]) -> None:
    log.write(FIRST_LINE)
    _wake_when_the_gateway_dies()
    child = _start(log, command)
    let_go, ended = threading.Event(), threading.Event()
    threading.Thread(target=_end_with_the_gateway, args=(child, let_go), daemon=True).start()
    copying = threading.Thread(target=_copy, args=(child, log, ended), daemon=True)
    copying.start()
    status = child.wait()
    ended.set()
    copying.join(DRAIN_S)
    if status < 0 and -status != signal.SIGABRT and not let_go.is_set():
        # The kernel kills a process that takes too much memory, and only its status says so. A
        # process that aborts has written its reason.
        why = f"killed by signal {-status} ({signal.strsignal(-status)})"
        log.write(f"galen: error: {why}\n".encode())
    _end_group()


def _start(log: Log, command: Sequence[str]) -> subprocess.Popen[bytes]:
    try:
        return subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
    except OSError as error:
        log.write(f"error: cannot run {command[0]}: {error.strerror}\n".encode())
        raise SystemExit(1) from None


def _copy(child: subprocess.Popen[bytes], log: Log, ended: threading.Event) -> None:
    """Write what the child and its children print, until the pipe is closed; or until the child has
    ended and the pipe is empty, since a grandchild may hold it open for ever."""
    assert child.stdout
    pipe = child.stdout.fileno()
    while True:
        if select.select([pipe], [], [], 0.2)[0]:
            data = os.read(pipe, 65536)
            if not data:
                return
            log.write(data)
        elif ended.is_set():
            return


def _end_with_the_gateway(child: subprocess.Popen[bytes], let_go: threading.Event) -> None:
    while os.read(sys.stdin.fileno(), 1024):
        pass
    let_go.set()
    child.terminate()
    # A stopped process gets the signal only once it is continued.
    os.killpg(os.getpgrp(), signal.SIGCONT)
    with contextlib.suppress(subprocess.TimeoutExpired):
        child.wait(GRACE_S)
    child.kill()


def _wake_when_the_gateway_dies() -> None:
    """See the pipe close even if this process was stopped together with the engine."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_DEATH_OF_PARENT, signal.SIGCONT)


def _end_group() -> None:
    """Kill every process of the group, this one too."""
    os.killpg(os.getpgrp(), signal.SIGKILL)


if __name__ == "__main__":
    main(Log(Path(sys.argv[1])), sys.argv[2:])
