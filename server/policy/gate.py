"""Keeps requests and weight swaps apart: many requests pass together, a swap passes alone.

A request is in flight from its entry until its answer has ended. A swap closes the gate, so new
requests wait in front of it. Those in flight may finish within a limit; then they are cut off and
their callers learn why. So no request delays a swap for longer, and the new version answers those
that waited.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable
from types import TracebackType
from typing import Self

from galen.errors import Displaced, Unavailable
from server.policy.replica import Replica

log = logging.getLogger(__name__)

RETRY_AFTER_S = 5.0


class Flight:
    """One request in flight, to be used as a context by the task that answers it.

    A flight that is cut off ends with `Displaced`.
    """

    __slots__ = ("_gate", "_task", "is_cut", "replica", "version")

    def __init__(self, gate: Gate) -> None:
        self._gate = gate
        self._task = asyncio.current_task()
        self.is_cut = False
        self.version = ""
        self.replica: Replica | None = None
        """The engine that has the request now."""

    def board(self, replica: Replica | None) -> None:
        """Note which engine has the request; None once that engine is lost."""
        if self.replica:
            self.replica.outstanding -= 1
        if replica:
            replica.outstanding += 1
        self.replica = replica

    def cut(self) -> None:
        if self._task and not self.is_cut:
            self.is_cut = True
            self._task.cancel()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.board(None)
        self._gate._leave(self)
        if self.is_cut and self._task and isinstance(error, asyncio.CancelledError):
            if self._task.uncancel() > 0:  # it was cancelled by its owner too
                return
            message = "cut off, since another policy version had to be loaded; ask again"
            raise Displaced(message, retry_after_s=RETRY_AFTER_S) from None


class Gate:
    """`wait_limit_s` bounds how long a request waits in front of the gate, `drain_limit_s` how
    long a swap waits for those in flight; both in seconds."""

    def __init__(self, wait_limit_s: float, drain_limit_s: float) -> None:
        self._wait_limit_s = wait_limit_s
        self._drain_limit_s = drain_limit_s
        self._flights: set[Flight] = set()
        self._open = asyncio.Event()
        self._open.set()
        self._left = asyncio.Event()
        """Set whenever a flight ends."""

    async def enter(self) -> Flight:
        """A flight, once the gate is open. Raises `Unavailable` after the limit."""
        if not self._open.is_set():
            await self._until_open()
        flight = Flight(self)
        self._flights.add(flight)
        return flight

    async def _until_open(self) -> None:
        try:
            async with asyncio.timeout(self._wait_limit_s):
                # The gate may close again between its opening and this task's turn.
                while not self._open.is_set():
                    await self._open.wait()
        except TimeoutError:
            message = "a policy version is being loaded; try again shortly"
            raise Unavailable(message, retry_after_s=RETRY_AFTER_S) from None

    @contextlib.asynccontextmanager
    async def closed(self) -> AsyncIterator[None]:
        """The gate, closed and with nothing in flight; it opens again on the way out."""
        self._open.clear()
        try:
            await self.drain(lambda flight: True)
            yield
        finally:
            self._open.set()

    async def drain(self, concerns: Callable[[Flight], bool]) -> None:
        """Return once no flight that `concerns` picks is left; after the limit they are cut off."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._drain_limit_s):
                await self._until_none(concerns)
        if late := [flight for flight in self._flights if concerns(flight)]:
            log.warning(
                "answers cut off for another version",
                extra={"answers": len(late), "drain_limit_s": self._drain_limit_s},
            )
            for flight in late:
                flight.cut()
            await self._until_none(concerns)

    async def _until_none(self, concerns: Callable[[Flight], bool]) -> None:
        while any(concerns(flight) for flight in self._flights):
            self._left.clear()
            await self._left.wait()

    def _leave(self, flight: Flight) -> None:
        self._flights.discard(flight)
        self._left.set()
