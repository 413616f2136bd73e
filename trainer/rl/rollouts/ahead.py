"""Batches that are drawn while others train, never further ahead than the bound."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Coroutine
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class Ahead(Generic[T]):
    """Runs `draw(batch)` for one batch after the other, in a thread of its own.

    Only what is allowed is drawn: that is the pace.
    """

    def __init__(self, draw: Callable[[int], Coroutine[Any, Any, T]]) -> None:
        self._draw = draw
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="rollouts")
        self._allowed: set[int] = set()
        self._drawn: dict[int, Future[T]] = {}
        self._running: tuple[asyncio.AbstractEventLoop, asyncio.Task[Any]] | None = None

    def is_allowed(self, batch: int) -> bool:
        return batch in self._allowed

    def allow(self, batch: int) -> None:
        """Draw this batch after those that were allowed before."""
        if batch not in self._allowed:
            self._allowed.add(batch)
            self._drawn[batch] = self._thread.submit(self._run, batch)

    def take(self, batch: int) -> T:
        """Wait for a batch that was allowed, and give it away; raises what its drawing raised."""
        return self._drawn.pop(batch).result()

    def close(self) -> None:
        """Stop what is being drawn."""
        self._thread.shutdown(wait=False, cancel_futures=True)
        if (running := self._running) is not None:
            loop, task = running
            with contextlib.suppress(RuntimeError):  # it has just ended by itself
                loop.call_soon_threadsafe(task.cancel)
        self._thread.shutdown(wait=True)

    def _run(self, batch: int) -> T:
        async def work() -> T:
            task = asyncio.current_task()
            assert task is not None
            self._running = asyncio.get_running_loop(), task
            try:
                return await self._draw(batch)
            finally:
                self._running = None

        return asyncio.run(work())
