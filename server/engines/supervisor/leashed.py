"""Starts a command under `supervisor.leash`, and leaves no process behind."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path

from galen.errors import Unavailable
from server.engines.supervisor import leash

END_LIMIT_S = leash.GRACE_S + leash.DRAIN_S + 1
"""Seconds after which what is left is killed."""


@contextlib.asynccontextmanager
async def started(
    command: Sequence[str], environment: Mapping[str, str], log_file: Path
) -> AsyncIterator[Process]:
    """The process of the leash, with the command under it. On exit both are ended.

    The log of the start before is kept next to `log_file`. `Unavailable` if it cannot be started.
    """
    words = (sys.executable, "-P", leash.__file__, str(log_file), *command)
    try:
        log_file.parent.mkdir(parents=True, exist_ok=True)
        process = await _start(words, environment)
    except OSError as error:
        raise Unavailable(f"the engine cannot be started: {error}", retry_after_s=10) from error
    try:
        yield process
    finally:
        await asyncio.shield(_end(process))


async def _start(words: Sequence[str], environment: Mapping[str, str]) -> Process:
    starting = asyncio.ensure_future(
        asyncio.create_subprocess_exec(
            *words, env=environment, stdin=PIPE, stdout=DEVNULL, start_new_session=True
        )
    )
    try:
        # Shielded, since a caller that is cancelled must still end the process.
        return await asyncio.shield(starting)
    except asyncio.CancelledError:
        await _end(await starting)
        raise


def kill(process: Process) -> None:
    """End the whole group at once."""
    _signal(process, signal.SIGKILL)


async def _end(process: Process) -> None:
    """Close the pipe, wait for the command to end by itself, then kill what is left."""
    assert process.stdin
    process.stdin.close()
    # A stopped group cannot end by itself.
    _signal(process, signal.SIGCONT)
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(END_LIMIT_S):
            await process.wait()
    kill(process)
    await process.wait()


def _signal(process: Process, number: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, number)
