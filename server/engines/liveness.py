"""Whether an engine that runs is alive, asked of its very core.

`/health` is answered by vLLM's HTTP process, which knows only whether the core's process exists.
`/weight_info` is answered by the loop that computes the tokens: between two of its steps, so it
waits behind no queue of requests, also while the engine is paused. It has to wait for the end of a
step, or of a load of weights; such a load is known to the caller and excused.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from pathlib import Path

import aiohttp

from server.engines.connections import Connections

HEALTH, LIVENESS = "/health", "/weight_info"
ASK_S = 5.0
"""Seconds that one call may take before another is made."""
PAUSE_S = 2.0
"""Seconds between an answer and the next call."""
RETRY_S = 0.2
NO_ANSWER = 599
"""Stands for a status when there is none."""


async def until_hung(
    base_url: str,
    socket: Path | None,
    limit_s: float,
    excused: Callable[[], bool],
    *,
    ask_s: float = ASK_S,
    pause_s: float = PAUSE_S,
) -> None:
    """Return once the engine has left calls unanswered for `limit_s` seconds in all.

    Counted in calls and not by the clock, so that a gateway that was itself stopped for a while
    does not blame the engine. Silence while `excused()` is true does not count.
    """
    ask_s, silent_s = min(ask_s, limit_s), 0.0
    async with Connections(socket) as connections:
        while silent_s < limit_s:
            if await _answers_within(connections.session, base_url + LIVENESS, ask_s):
                silent_s = 0.0
                await asyncio.sleep(pause_s)
            else:
                silent_s = 0.0 if excused() else silent_s + ask_s


async def until_healthy(base_url: str, socket: Path | None) -> None:
    """Return once the engine's HTTP process says that it can be used."""
    async with Connections(socket) as connections:
        while True:
            if await _status(connections.session, base_url + HEALTH) == 200:
                return
            await asyncio.sleep(RETRY_S)


async def _answers_within(session: aiohttp.ClientSession, url: str, limit_s: float) -> bool:
    """Any answer but a server error shows life: an engine of another kind may lack the route."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(limit_s):
            while True:
                if await _status(session, url) < 500:
                    return True
                await asyncio.sleep(RETRY_S)
    return False


async def _status(session: aiohttp.ClientSession, url: str) -> int:
    try:
        async with session.get(url, timeout=aiohttp.ClientTimeout(ASK_S)) as answer:
            return answer.status
    except (aiohttp.ClientError, TimeoutError):
        return NO_ANSWER
