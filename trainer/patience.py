"""Requests that wait for a server that is away or busy, and tell whose fault a failure is."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from galen.errors import DeadlineExceeded, GalenError, UpstreamFailed
from galen.http import ServiceClient

TRIES = 3
"""Failures in the engine after which the failure is the row's result."""
PATIENCE_S = 300.0
"""Seconds that one row waits for a server that is away or busy."""
LONGEST_PAUSE_S = 30.0

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
