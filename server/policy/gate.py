"""Keeps requests and weight swaps apart: requests pass together, a swap passes alone.

A swap closes the gate, so new requests wait in front of it, and lets those inside leave. Both waits
are bounded. A request holds its pass until the engine has surely taken it in, or has answered.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from types import TracebackType
from typing import Self

from galen.errors import DeadlineExceeded, Unavailable


class Pass:
    """Leave to go to the engine; `give_back` may be called more than once."""

    def __init__(self, gate: Gate) -> None:
        self._gate: Gate | None = gate

    def give_back(self) -> None:
        if self._gate:
            self._gate._leave()
            self._gate = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.give_back()


class Gate:
    """`wait_limit_s` bounds a request's wait, in seconds."""

    def __init__(self, wait_limit_s: float) -> None:
        self._wait_limit_s = wait_limit_s
        self._inside = 0
        self._open = asyncio.Event()
        self._open.set()
        self._empty = asyncio.Event()
        self._empty.set()

    async def enter(self) -> Pass:
        """A pass, once the gate is open; `Unavailable` if a swap takes longer than the limit."""
        if not self._open.is_set():
            await self._opened()
        return self.enter_now()

    def enter_now(self) -> Pass:
        """A pass without waiting, for a caller who knows that nobody shuts the gate now."""
        self._inside += 1
        self._empty.clear()
        return Pass(self)

    async def _opened(self) -> None:
        try:
            async with asyncio.timeout(self._wait_limit_s):
                # A gate may close again between its opening and this task's turn.
                while not self._open.is_set():
                    await self._open.wait()
        except TimeoutError:
            message = "a policy version is being loaded; try again shortly"
            raise Unavailable(message, retry_after_s=self._wait_limit_s) from None

    @contextlib.asynccontextmanager
    async def closed(self, limit_s: float) -> AsyncIterator[None]:
        """The gate, shut and with nobody inside; opened again on the way out.

        Raises `DeadlineExceeded` if the requests inside do not leave within `limit_s` seconds.
        """
        self._open.clear()
        try:
            try:
                async with asyncio.timeout(limit_s):
                    await self._empty.wait()
            except TimeoutError:
                raise DeadlineExceeded(
                    f"{self._inside} request(s) were not done within {limit_s:.0f} s, so no other "
                    "version could be loaded; nothing has changed"
                ) from None
            yield
        finally:
            self._open.set()

    def _leave(self) -> None:
        self._inside -= 1
        if self._inside == 0:
            self._empty.set()
