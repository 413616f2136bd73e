"""Runs a command and never outlives the process that started it, nor lets anything of it do so.

Started by the gateway in a process group of its own, with a pipe as standard input. However the
gateway ends, kill -9 included, the pipe closes, and the whole group is ended. (Linux's parent-death
signal would reach only the direct child; vLLM's engine core is a grandchild and would live on.)

Run as a file; needs the standard library alone.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence

GRACE_S = 5.0
"""Seconds that the command has to end by itself."""


def main(command: Sequence[str]) -> None:
    child = subprocess.Popen(command, stdin=subprocess.DEVNULL)
    threading.Thread(target=_end_with_the_gateway, args=(child,), daemon=True).start()
    child.wait()
    _end_group()


def _end_with_the_gateway(child: subprocess.Popen[bytes]) -> None:
    while os.read(sys.stdin.fileno(), 1024):
        pass
    child.terminate()
    with contextlib.suppress(subprocess.TimeoutExpired):
        child.wait(GRACE_S)
    _end_group()


def _end_group() -> None:
    """Kill every process of the group, this one too."""
    os.killpg(os.getpgrp(), signal.SIGKILL)


if __name__ == "__main__":
    main(sys.argv[1:])
