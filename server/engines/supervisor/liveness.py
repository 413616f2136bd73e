"""Whether a running engine is alive: its core has to answer.

`/health` is answered by vLLM's HTTP process, which knows only whether the core's process exists.
`/weight_info` is answered by the loop that computes the tokens, between two steps, also while the
engine is paused. So the call waits behind no queue of requests, only for the end of a step or of a
load of weights. The caller knows of such a load and excuses it.

When vLLM's core dies, its HTTP process takes no more connections and ends. A call to the core that
is under way then, such as this one, is never answered and keeps that process for ever.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
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
CORE_IS_DEAD = 503
"""vLLM's `/health`, once it has seen its core end."""
HEALTH_S = 1.0
"""Seconds that this question may take; the HTTP process answers at once or is silent too."""
NO_ANSWER, REFUSED = 599, 598
"""In place of a status: no answer came, or nobody listened."""


async def until_lost(
    base_url: str,
    socket: Path | None,
    limit_s: float,
    excused: Callable[[], bool],
    *,
    ask_s: float = ASK_S,
    pause_s: float = PAUSE_S,
) -> str:
    """Wait until the engine is lost; returns the reason. It is lost after `limit_s` seconds of
    unanswered calls, or after `ask_s` if it refuses connections or reports its core dead.

    Counted in calls and not by the clock, so that a gateway that was itself stopped for a while
    does not blame the engine. Silence while `excused()` is true does not count.
    """
    ask_s, silent_s = min(ask_s, limit_s), 0.0
    async with Connections(socket) as connections:
        while silent_s < limit_s:
            seen = await _seen_within(connections.session, base_url + LIVENESS, ask_s)
            if any(status < 500 for status in seen):
                silent_s = 0.0
                await asyncio.sleep(pause_s)
                continue
            if seen == {REFUSED}:
                return "it took no more connections"
            if CORE_IS_DEAD in await _seen_within(connections.session, base_url + HEALTH, HEALTH_S):
                return "its core was dead"
            silent_s = 0.0 if excused() else silent_s + ask_s
    return f"it had not answered for {limit_s:.0f} s"


async def until_healthy(base_url: str, socket: Path | None) -> None:
    """Return once the engine's HTTP process says that it can be used."""
    async with Connections(socket) as connections:
        while True:
            if await _status(connections.session, base_url + HEALTH) == 200:
                return
            await asyncio.sleep(RETRY_S)


async def _seen_within(session: aiohttp.ClientSession, url: str, limit_s: float) -> set[int]:
    """The statuses of calls up to a sign of life or the limit; of a call that the limit cut off,
    none. Any answer but a server error shows life: an engine of another kind may lack the route."""
    seen = set[int]()
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(limit_s):
            while (status := await _status(session, url)) >= 500:
                seen.add(status)
                await asyncio.sleep(RETRY_S)
            seen.add(status)
    return seen


async def _status(session: aiohttp.ClientSession, url: str) -> int:
    try:
        async with session.get(url, timeout=aiohttp.ClientTimeout(ASK_S)) as answer:
            return answer.status
    except aiohttp.ClientConnectorError as error:
        # A full queue of connections gives another error.
        nobody = error.os_error.errno in (errno.ECONNREFUSED, errno.ENOENT)
        return REFUSED if nobody else NO_ANSWER
    except (aiohttp.ClientError, TimeoutError):
        return NO_ANSWER
