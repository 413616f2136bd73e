"""Processes that tests of the engine's supervision start and look for."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterable
from pathlib import Path

import psutil

STAND_IN = Path(__file__).parents[1] / "fakes/engine_process.py"


async def gone(pids: Iterable[int]) -> bool:
    """Whether all of these end (or are zombies nobody has waited for) within ten seconds."""
    processes = []
    for pid in pids:
        with contextlib.suppress(psutil.NoSuchProcess):
            processes.append(psutil.Process(pid))
    _, alive = await asyncio.to_thread(psutil.wait_procs, processes, 10)
    return not [process for process in alive if process.status() != psutil.STATUS_ZOMBIE]
