"""A fair, bounded queue for a number of slots that may change: clients take turns (round robin).

While one client's thousand judgements wait, another client's single one is next but one.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict

_Line = dict["asyncio.Future[None]", None]
"""Waiters in order of arrival. A dict, so that a cancelled one is removed in constant time."""


class QueueFullError(Exception):
    """No more may wait."""


class FairQueue:
    """`limit` slots; at most `bound` wait for one. Each `enter` needs a `leave`."""

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
        """A lower limit takes no slot away from those who hold one."""
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
        """How many more may enter now without `QueueFullError`."""
        return max(0, self._bound - self._waiting) + max(0, self._limit - self._taken)

    async def enter(self, client: str, *, returning: bool = False) -> None:
        """Wait for a slot. A `returning` caller held one before: it goes first, never refused.

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
            if not turn.cancelled():  # the slot was given in the same moment
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
        """Remove the next waiter: returning ones first, then one of each client in turn."""
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
