"""A fair, bounded queue: clients take turns for a number of places that may change.

Whoever sends most waits longest: with one client's thousand judgements waiting, another client's
single one is next but one.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict

_Line = dict["asyncio.Future[None]", None]
"""Those who wait, first come first. A dict, so that one who gives up is found at once."""


class QueueFullError(Exception):
    """As many wait as may."""


class FairQueue:
    """`limit` places; at most `bound` wait for one. To each `enter` belongs a `leave`."""

    def __init__(self, limit: int, bound: int) -> None:
        self._limit = limit
        self._bound = bound
        self._taken = 0
        self._waiting = 0
        self._returning: _Line = {}
        self._lines: OrderedDict[str, _Line] = OrderedDict()

    @property
    def limit(self) -> int:
        return self._limit

    @limit.setter
    def limit(self, limit: int) -> None:
        """A lower limit takes no place away from those who have one."""
        self._limit = limit
        self._admit()

    @property
    def taken(self) -> int:
        return self._taken

    @property
    def waiting(self) -> int:
        return self._waiting

    @property
    def room(self) -> int:
        """How many more may come now without being turned away."""
        return max(0, self._bound - self._waiting) + max(0, self._limit - self._taken)

    async def enter(self, client: str, *, returning: bool = False) -> None:
        """Wait for a place. One who is `returning` had a place before: it goes ahead of the lines
        and is never turned away.

        Raises `QueueFullError` if too many wait.
        """
        if self._taken < self._limit:
            self._taken += 1
            return
        if not returning and self._waiting >= self._bound:
            raise QueueFullError(f"{self._waiting} wait already")
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        line = self._returning if returning else self._lines.setdefault(client, {})
        line[turn] = None
        self._waiting += 1
        try:
            await turn
        except asyncio.CancelledError:
            if not turn.cancelled():  # the place came in the same moment
                self.leave()
            elif turn in line:
                self._give_up(client, line, turn)
            raise

    def leave(self) -> None:
        self._taken -= 1
        self._admit()

    def _give_up(self, client: str, line: _Line, turn: asyncio.Future[None]) -> None:
        del line[turn]
        self._waiting -= 1
        if not line and line is not self._returning:
            del self._lines[client]

    def _admit(self) -> None:
        while self._waiting and self._taken < self._limit:
            turn = self._next()
            self._waiting -= 1
            if not turn.cancelled():
                self._taken += 1
                turn.set_result(None)

    def _next(self) -> asyncio.Future[None]:
        """Take the next one out: those who return first, then one of each client in turn."""
        if self._returning:
            return _pop_first(self._returning)
        client, line = next(iter(self._lines.items()))
        turn = _pop_first(line)
        if line:
            self._lines.move_to_end(client)
        else:
            del self._lines[client]
        return turn


def _pop_first(line: _Line) -> asyncio.Future[None]:
    turn = next(iter(line))
    del line[turn]
    return turn
