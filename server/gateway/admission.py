"""Which request may begin now: people's before rollouts.

Rollouts wait, first come first served, for one of a bounded number of places in the engine. While
people are active there are fewer places: each request in an engine's batch slows its steps, and
vLLM's priorities order only the requests that still wait. People never wait here.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import time
from collections import deque
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass

from galen.errors import Overloaded
from galen.keys import Caller

BESIDE_PEOPLE = 4
"""Rollouts at once while people are active, unless the settings say otherwise."""
LINGER_S = 15.0
"""Seconds after a person's answer during which the next question is expected."""
MOST_WAITING = 1024
"""Rollouts that may wait."""
COME_BACK_S = 1.0
"""Seconds after which a refused rollout should ask again. Nobody knows when a place is free."""

Clock = Callable[[], float]


class Admission:
    """Hands out turns. `clock` gives seconds that never run backwards."""

    def __init__(
        self,
        rollouts_at_once: int,
        beside_people: int = BESIDE_PEOPLE,
        clock: Clock = time.monotonic,
    ) -> None:
        self._clock = clock
        self._people = 0
        self._last_person_at = -math.inf
        self._all, self._few = rollouts_at_once, min(beside_people, rollouts_at_once)
        self._running = 0
        self._waiting: deque[_Waiter] = deque()

    @contextlib.asynccontextmanager
    async def turn(self, caller: Caller, sequences: int = 1) -> AsyncIterator[None]:
        """A request's turn: from before it goes to an engine until its answer has ended.

        `sequences` are the completions that the engine will write. Raises `Overloaded` on entry if
        too many rollouts wait.
        """
        if caller.role != "rollout":
            self._people += 1
            try:
                yield
            finally:
                self._people -= 1
                self._last_person_at = self._clock()
            return
        await self._take_places(sequences)
        try:
            yield
        finally:
            self._running -= sequences
            self._admit()

    async def _take_places(self, wanted: int) -> None:
        if not self._waiting and self._has_room(wanted):
            self._running += wanted
            return
        if len(self._waiting) >= MOST_WAITING:
            message = f"{MOST_WAITING} rollouts wait already; send fewer at once"
            raise Overloaded(message, retry_after_s=COME_BACK_S)
        waiter = _Waiter(wanted, asyncio.get_running_loop().create_future())
        self._waiting.append(waiter)
        try:
            await waiter.admitted
        except asyncio.CancelledError:
            if not waiter.admitted.cancelled():  # it was admitted, and cancelled before it ran
                self._running -= wanted
            elif waiter in self._waiting:
                self._waiting.remove(waiter)
            self._admit()
            raise

    def _admit(self) -> None:
        """Admit the waiting rollouts, oldest first, as far as there is room.

        No call is needed when people leave: while a rollout waits, another one is running, and its
        end calls this.
        """
        while self._waiting and self._has_room(self._waiting[0].wanted):
            waiter = self._waiting.popleft()
            if not waiter.admitted.cancelled():
                self._running += waiter.wanted
                waiter.admitted.set_result(None)

    def _has_room(self, wanted: int) -> bool:
        """A request larger than all places together passes when nothing else is running."""
        return self._running == 0 or self._running + wanted <= self._places()

    def _places(self) -> int:
        active = self._people > 0 or self._clock() - self._last_person_at < LINGER_S
        return self._few if active else self._all


@dataclass(slots=True, eq=False)
class _Waiter:
    wanted: int
    admitted: asyncio.Future[None]
