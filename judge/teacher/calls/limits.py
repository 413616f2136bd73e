"""Limits of upstream calls: back-off, deadline, window, circuit breaker."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from judge.teacher.verdict import Circuit


@dataclass(frozen=True)
class Backoff:
    """Full-jitter back-off: a random wait below a bound that doubles with each try."""

    base_s: float = 0.5
    cap_s: float = 15.0
    chance: random.Random = field(default_factory=random.Random)

    def seconds(self, tries: int, asked_s: float | None = None) -> float:
        """The wait after `tries` failures; at least `asked_s`, the Retry-After header's seconds."""
        bound = min(self.cap_s, self.base_s * 2 ** min(tries - 1, 30))
        return self.chance.uniform(0, bound) + (asked_s or 0.0)


class Deadline:
    """The time by which one judgement must end."""

    def __init__(self, seconds: float) -> None:
        self.at = asyncio.get_running_loop().time() + seconds
        """By the event loop's clock."""

    @property
    def left_s(self) -> float:
        return max(0.0, self.at - asyncio.get_running_loop().time())

    def leaves(self, seconds: float) -> bool:
        return seconds < self.left_s


class Pace:
    """Spreads calls evenly so that a minute has at most so many of them, and of tokens."""

    def __init__(self, calls_per_minute: int | None, tokens_per_minute: int | None) -> None:
        self._call_s = 60 / calls_per_minute if calls_per_minute else 0.0
        self._token_s = 60 / tokens_per_minute if tokens_per_minute else 0.0
        self._next = 0.0

    async def wait(self, tokens: int) -> None:
        """Wait for this call's turn; the next one's comes so much later."""
        now = asyncio.get_running_loop().time()
        turn = max(now, self._next)
        self._next = turn + max(self._call_s, tokens * self._token_s)
        if turn > now:
            await asyncio.sleep(turn - now)


class Window:
    """How many calls may be in flight, between 1 and `most`.

    The window halves when the endpoint is overloaded, and grows by one after `limit` successes.
    """

    def __init__(self, most: int) -> None:
        self.limit = most
        self._most = most
        self._successes = 0
        self._cuts = 0

    @property
    def ticket(self) -> int:
        """Read before a call and given to `refused`, which ignores calls from before a halving."""
        return self._cuts

    def succeeded(self) -> None:
        self._successes += 1
        if self._successes >= self.limit:
            self._successes = 0
            self.limit = min(self._most, self.limit + 1)

    def refused(self, ticket: int) -> None:
        """Halve, unless the window was halved since the call began."""
        if ticket == self._cuts:
            self._cuts += 1
            self._successes = 0
            self.limit = max(1, self.limit // 2)


class CircuitOpenError(Exception):
    """No call is made for now; the message says for how long."""


class Breaker:
    """A circuit breaker: opens after `failures` failed calls in a row, for `rest_s` seconds. Then
    one call at a time probes the endpoint."""

    def __init__(
        self, failures: int, rest_s: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._most = failures
        self._rest_s = rest_s
        self._clock = clock
        self._failures = 0
        self._open_until: float | None = None
        self._probing = False

    @property
    def circuit(self) -> Circuit:
        if self._open_until is None:
            return "closed"
        return "open" if self.retry_after_s > 0 else "half_open"

    @property
    def retry_after_s(self) -> float:
        """Seconds until an open circuit lets a call through."""
        return max(0.0, self._open_until - self._clock()) if self._open_until else 0.0

    def check(self) -> None:
        """Raises `CircuitOpenError` if no call may be made now."""
        if self.retry_after_s > 0:
            message = f"{self._failures} calls in a row failed"
            raise CircuitOpenError(f"{message}; the next is made in {self.retry_after_s:.1f} s")
        if self._probing:
            raise CircuitOpenError("one call is probing whether it is back")

    @contextmanager
    def call(self) -> Iterator[None]:
        """Wraps one call, which may report its outcome by `succeeded` or `failed`."""
        self.check()
        probes = self._open_until is not None
        self._probing = probes
        try:
            yield
        finally:
            if probes:
                self._probing = False

    def succeeded(self) -> None:
        self._failures, self._open_until = 0, None

    def failed(self) -> None:
        """Count a failure; opens the circuit at the limit, or again after a failed probe."""
        self._failures += 1
        if self._open_until is not None or self._failures >= self._most:
            self._open_until = self._clock() + self._rest_s
