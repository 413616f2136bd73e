"""Who may begin now: limits by key, and people before rollouts.

A key's two limits refuse (429, with the seconds after which to come back). Rollouts are not refused
but wait, first come first served, for one of a bounded number of places in the engine. While people
are about there are fewer places, since everything that an engine has in its batch makes each of its
steps longer, and its priorities order only what still waits. People never wait here.
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
BURST_S = 10.0
"""A key may at once begin what its rate allows in this many seconds, or one request."""
MOST_WAITING = 1024
"""Rollouts that may wait; each holds its body in memory."""
COME_BACK_S = 1.0
"""Seconds after which to ask again, where nobody can know when a place is free."""

TOLERANCE_S = 1e-6
"""Of sums of seconds, so that whoever comes back when told to is let in."""

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
        self._keys: dict[str, _Use] = {}
        self._people = 0
        self._last_person_at = -math.inf
        self._all, self._few = rollouts_at_once, min(beside_people, rollouts_at_once)
        self._rollouts = 0
        self._waiting: deque[_Waiter] = deque()

    def turn(self, caller: Caller, sequences: int = 1) -> Turn:
        """A request's turn, to be held (`async with`) from before it is sent to the engine until
        its answer's last byte or its end by other means.

        `sequences` are what the engine will write for it. Raises `Overloaded` on entry if the key
        is at a limit or too many rollouts wait.
        """
        return Turn(self, caller, sequences)

    async def _enter(self, caller: Caller, sequences: int) -> None:
        if _is_limited(caller):
            self._keys.setdefault(caller.name, _Use()).begin(caller, self._clock())
        if caller.role != "rollout":
            self._people += 1
            return
        try:
            await self._take_places(sequences)
        except BaseException:
            if _is_limited(caller):
                self._keys[caller.name].under_way -= 1
            raise

    def _leave(self, caller: Caller, sequences: int) -> None:
        if _is_limited(caller):
            self._keys[caller.name].under_way -= 1
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


def _is_limited(caller: Caller) -> bool:
    """Work done in a key's name, such as a batch, bears the name without the limits."""
    return caller.per_minute is not None or caller.at_once is not None


@dataclass(slots=True, eq=False)
class _Waiter:
    wanted: int
    admitted: asyncio.Future[None]


@dataclass(slots=True)
class _Use:
    """What one key does: a token bucket, kept as the moment at which it is full again."""

    under_way: int = 0
    full_at: float = 0.0

    def begin(self, caller: Caller, now: float) -> None:
        """Count a request, or raise `Overloaded`; one that is refused costs nothing."""
        if caller.at_once is not None and self.under_way >= caller.at_once:
            message = (
                f"the key {caller.name!r} has {caller.at_once} request(s) under way, which is "
                "all it may have at once; wait for one to end"
            )
            raise Overloaded(message, retry_after_s=COME_BACK_S)
        if caller.per_minute is not None:
            token_s = 60 / caller.per_minute
            full_at = max(self.full_at, now) + token_s
            wait_s = full_at - now - max(BURST_S, token_s)
            if wait_s > TOLERANCE_S:
                message = (
                    f"the key {caller.name!r} may begin {caller.per_minute} request(s) a minute; "
                    f"come back in {wait_s:.1f} s"
                )
                raise Overloaded(message, retry_after_s=wait_s)
            self.full_at = full_at
        self.under_way += 1
