"""Bounds the bytes of bodies and answers that the gateway keeps, for all requests together.

One request is bounded by itself, but thousands may wait while a version is loaded.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

from galen.errors import Overloaded

MOST_BYTES = 1024 * 1024 * 1024
COME_BACK_S = 1.0

Take = Callable[[int], None]


class Memory:
    """`limit` is in bytes."""

    def __init__(self, limit: int = MOST_BYTES) -> None:
        self._limit = limit
        self.used = 0

    @contextlib.contextmanager
    def share(self) -> Iterator[Take]:
        """One request's share: a function to keep so many bytes more, until the end of the block.
        It raises `Overloaded` beyond the limit of all requests."""
        taken = 0

        def take(count: int) -> None:
            nonlocal taken
            if self.used + count > self._limit:
                message = "the server keeps too many bodies and answers; try again shortly"
                raise Overloaded(message, retry_after_s=COME_BACK_S)
            self.used += count
            taken += count

        try:
            yield take
        finally:
            self.used -= taken
