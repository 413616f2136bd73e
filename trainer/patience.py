"""Requests that wait for a server that is away or busy, and tell whose fault a failure is."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

from galen.errors import (
    DeadlineExceeded,
    GalenError,
    Overloaded,
    Unavailable,
    Unreachable,
    UpstreamFailed,
)
from galen.http import ServiceClient

TRIES = 3
"""Failures in the engine after which the failure is the row's result."""
PATIENCE_S = 300.0
"""Seconds that one row waits for a server that is away or busy."""
LONGEST_PAUSE_S = 30.0
RESTART_S = 180.0
"""Seconds within which a service that was killed should be back."""

Pause = Callable[[float], Awaitable[None]]
T = TypeVar("T")


class Away(Exception):
    """The server does not come back: no row's fault."""

    def __init__(self, reason: GalenError) -> None:
        super().__init__(reason.message)
        self.reason = reason


async def patiently(
    client: ServiceClient, attempt: Callable[[], Awaitable[T]], pause: Pause = asyncio.sleep
) -> T:
    """What `attempt` gives. Waits and tries again after errors that may pass.

    Raises `GalenError` for an error of the row's own, and `Away` if the server stays away.
    """
    failures, waited_s, next_s = 0, 0.0, 1.0
    while True:
        try:
            return await attempt()
        except (DeadlineExceeded, UpstreamFailed) as error:
            failures += 1
            if failures == TRIES:
                raise
            reason: GalenError = error
        except GalenError as error:
            if not error.retryable:
                raise
            if waited_s >= PATIENCE_S:
                if await client.is_ready():  # others are answered, so it is this row
                    raise
                raise Away(error) from None
            reason = error
        this_s = reason.retry_after_s or next_s
        await pause(this_s)
        waited_s, next_s = waited_s + this_s, min(2 * next_s, LONGEST_PAUSE_S)


async def through_restarts(
    attempt: Callable[[], Awaitable[T]], limit_s: float = RESTART_S, pause: Pause = asyncio.sleep
) -> T:
    """What `attempt` gives. Tries again for `limit_s` seconds while nobody listens, or while the
    service says with Retry-After that it will be back. Raises the last error."""
    deadline = time.monotonic() + limit_s
    while True:
        try:
            return await attempt()
        except (Unavailable, Overloaded) as error:
            next_s = 1.0 if isinstance(error, Unreachable) else error.retry_after_s
            if next_s is None or time.monotonic() >= deadline:
                raise
        await pause(next_s)
