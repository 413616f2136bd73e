"""What a key may ask of a service: so many requests a minute, so many under way at once.

Beyond a limit a request is refused: 429, with the seconds after which to come back. What is left
of a rate is told in the headers that OpenAI's clients and proxies read. Each service counts for
itself.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, MutableMapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from types import TracebackType
from typing import Any

from galen.errors import Overloaded
from galen.keys import Caller

BURST_S = 10.0
"""A key may at once begin what its rate allows in this many seconds, or one request."""
COME_BACK_S = 1.0
"""Seconds after which to ask again, where nobody can know when a request under way ends."""
TOLERANCE_S = 1e-6
"""Of sums of seconds, so that whoever comes back when told to is let in."""
LEFT_IN_SCOPE = "galen.rate_left"
"""Where an ASGI scope holds what is left of its key's rate: headers that the shell adds."""

Clock = Callable[[], float]
Headers = list[tuple[bytes, bytes]]
_UNLIMITED = nullcontext()


class KeyLimits:
    """Counts, by name, what the keys of one service do; on any thread.

    `clock` gives seconds that never run backwards; `on_refused` is told of whoever is refused.
    """

    def __init__(
        self,
        clock: Clock = time.monotonic,
        on_refused: Callable[[Caller], None] = lambda caller: None,
    ) -> None:
        self._clock = clock
        self._on_refused = on_refused
        self._lock = threading.Lock()
        self._uses: dict[str, _Use] = {}

    def turn(self, caller: Caller, scope: MutableMapping[str, Any]) -> AbstractContextManager[None]:
        """A request's turn, to be held (`with`) as long as it is under way.

        Raises `Overloaded` on entry if the key is at a limit; a refusal costs nothing of the rate.
        `scope` is the request's, where what is left is noted either way.
        """
        return _Turn(self, caller, scope) if caller.is_limited else _UNLIMITED

    def _begin(self, caller: Caller, scope: MutableMapping[str, Any]) -> None:
        with self._lock:
            use, now = self._uses.setdefault(caller.name, _Use()), self._clock()
            refusal = use.begin(caller, now)
            if caller.per_minute is not None:
                scope[LEFT_IN_SCOPE] = use.left(caller.per_minute, now)
        if refusal:
            self._on_refused(caller)
            raise refusal

    def _end(self, caller: Caller) -> None:
        with self._lock:
            self._uses[caller.name].under_way -= 1


class _Turn:
    __slots__ = ("_caller", "_limits", "_scope")

    def __init__(self, limits: KeyLimits, caller: Caller, scope: MutableMapping[str, Any]) -> None:
        self._limits = limits
        self._caller = caller
        self._scope = scope

    def __enter__(self) -> None:
        self._limits._begin(self._caller, self._scope)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._limits._end(self._caller)


@dataclass(slots=True)
class _Use:
    """What one key does: a token bucket, kept as the moment at which it is full again."""

    under_way: int = 0
    full_at: float = 0.0

    def begin(self, caller: Caller, now: float) -> Overloaded | None:
        """Count a request, or say why not."""
        if caller.at_once is not None and self.under_way >= caller.at_once:
            message = (
                f"the key {caller.name!r} has {caller.at_once} request(s) under way, which is "
                "all it may have at once; wait for one to end"
            )
            return Overloaded(message, retry_after_s=COME_BACK_S)
        if caller.per_minute is not None:
            token_s = 60 / caller.per_minute
            full_at = max(self.full_at, now) + token_s
            wait_s = full_at - now - max(BURST_S, token_s)
            if wait_s > TOLERANCE_S:
                message = (
                    f"the key {caller.name!r} may begin {caller.per_minute} request(s) a minute; "
                    f"come back in {wait_s:.1f} s"
                )
                return Overloaded(message, retry_after_s=wait_s)
            self.full_at = full_at
        self.under_way += 1
        return None

    def left(self, per_minute: int, now: float) -> Headers:
        """The key's rate, how many requests may begin at this moment, and how long until that is
        as many as ever."""
        token_s = 60 / per_minute
        full_in_s = max(self.full_at - now, 0.0)
        remaining = int((max(BURST_S, token_s) - full_in_s + TOLERANCE_S) / token_s)
        return [
            (b"x-ratelimit-limit-requests", b"%d" % per_minute),
            (b"x-ratelimit-remaining-requests", b"%d" % remaining),
            (b"x-ratelimit-reset-requests", _duration(full_in_s).encode()),
        ]


def _duration(seconds: float) -> str:
    """As OpenAI writes it: `0s`, `120ms`, `1.5s`; never less than it is.

    Differences of clock readings are a little off; by how much depends on the readings.
    """
    ms = math.ceil(round(seconds * 1000, ndigits=6))
    return f"{ms}ms" if 0 < ms < 1000 else f"{ms / 1000:g}s"
