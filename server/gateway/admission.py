"""Who may begin now: people before rollouts.

Rollouts wait, first come first served, for one of a bounded number of places in the engine. While
people are about there are fewer places, since everything that an engine has in its batch makes each
of its steps longer, and its priorities order only what still waits. People never wait here.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType

from galen.errors import Overloaded
from galen.keys import Caller

BESIDE_PEOPLE = 4
"""Rollouts at once while people are about, if no other number is given."""
LINGER_S = 15.0
"""Seconds after a person's answer during which the next question is expected."""
MOST_WAITING = 1024
"""Rollouts that may wait; each holds its body in memory."""
COME_BACK_S = 1.0
"""Seconds after which to ask again, where nobody can know when a place is free."""

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
        self._rollouts = 0
        self._waiting: deque[_Waiter] = deque()

    def turn(self, caller: Caller, sequences: int = 1) -> Turn:
        """A request's turn, to be held (`async with`) from before it is sent to the engine until
        its answer's last byte or its end by other means.

        `sequences` are what the engine will write for it. Raises `Overloaded` on entry if too many
        rollouts wait.
        """
        return Turn(self, caller, sequences)

    async def _enter(self, caller: Caller, sequences: int) -> None:
        if caller.role != "rollout":
            self._people += 1
            return
        await self._take_places(sequences)

    def _leave(self, caller: Caller, sequences: int) -> None:
        if caller.role != "rollout":
            self._people -= 1
            self._last_person_at = self._clock()
            return
        self._rollouts -= sequences
        self._admit()

    async def _take_places(self, wanted: int) -> None:
        if not self._waiting and self._has_room(wanted):
            self._rollouts += wanted
            return
        if len(self._waiting) >= MOST_WAITING:
            message = f"{MOST_WAITING} rollouts wait already; send fewer at once"
            raise Overloaded(message, retry_after_s=COME_BACK_S)
        waiter = _Waiter(wanted, asyncio.get_running_loop().create_future())
        self._waiting.append(waiter)
        try:
            await waiter.admitted
        except asyncio.CancelledError:
            if not waiter.admitted.cancelled():  # It was let in, and cancelled before it ran.
                self._rollouts -= wanted
            elif waiter in self._waiting:
                self._waiting.remove(waiter)
            self._admit()
            raise

    def _admit(self) -> None:
        """Let in those who waited longest, as far as there is room.

        Nothing needs to call this when people have gone: as long as a rollout waits one is inside,
        and its end does.
        """
        while self._waiting and self._has_room(self._waiting[0].wanted):
            waiter = self._waiting.popleft()
            if not waiter.admitted.cancelled():
                self._rollouts += waiter.wanted
                waiter.admitted.set_result(None)

    def _has_room(self, wanted: int) -> bool:
        """One that is larger than all places together passes when nobody else is inside."""
        return self._rollouts == 0 or self._rollouts + wanted <= self._places()

    def _places(self) -> int:
        about = self._people > 0 or self._clock() - self._last_person_at < LINGER_S
        return self._few if about else self._all


class Turn:
    """One request's turn; see `Admission.turn`."""

    __slots__ = ("_admission", "_caller", "_sequences")

    def __init__(self, admission: Admission, caller: Caller, sequences: int) -> None:
        self._admission = admission
        self._caller = caller
        self._sequences = sequences

    async def __aenter__(self) -> None:
        await self._admission._enter(self._caller, self._sequences)

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._admission._leave(self._caller, self._sequences)


@dataclass(slots=True, eq=False)
class _Waiter:
    wanted: int
    admitted: asyncio.Future[None]
