"""Bounds the bytes of bodies and answers that the gateway keeps, for all requests together.

One request is bounded by itself, but thousands may wait while a version is loaded.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from galen.errors import Overloaded

MOST_BYTES = 1024 * 1024 * 1024
COME_BACK_S = 1.0


class Memory:
    """`limit` is in bytes."""

    def __init__(self, limit: int = MOST_BYTES) -> None:
        self._limit = limit
        self.used = 0

    @contextlib.contextmanager
    def share(self) -> Iterator[Share]:
        """One request's share; given back at the end of the block."""
        share = Share(self)
        try:
            yield share
        finally:
            self.used -= share.used

    def take(self, count: int) -> None:
        if self.used + count > self._limit:
            message = "the server keeps too many bodies and answers; try again shortly"
            raise Overloaded(message, retry_after_s=COME_BACK_S)
        self.used += count


class Share:
    def __init__(self, memory: Memory) -> None:
        self._memory = memory
        self.used = 0

    def take(self, count: int) -> None:
        """Keep so many bytes more. Raises `Overloaded` beyond the limit of all."""
        self._memory.take(count)
        self.used += count
