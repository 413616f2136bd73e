"""Limits of a key: how many requests may begin in a minute, how many may be under way at once.

A request beyond a limit is refused with 429 and the seconds after which to come back. Headers that
OpenAI's clients and proxies read show what is left of a rate. Each service counts for itself.
"""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, MutableMapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Any

from galen.errors import Overloaded
from galen.keys import Caller

WINDOW_S = 60.0
COME_BACK_S = 1.0
"""`Retry-After` at the limit of requests under way: nobody knows when one of them ends."""
TOLERANCE_S = 1e-6
"""Seconds of rounding error allowed, so that a client that waits `Retry-After` is let in."""
LEFT_IN_SCOPE = "galen.rate_left"
"""Key of an ASGI scope: the rate-limit headers, which the shell adds to the answer."""

Clock = Callable[[], float]
Headers = list[tuple[bytes, bytes]]
_UNLIMITED = nullcontext()


class KeyLimits:
    """Counts, by name, what the keys of one service do; on any thread.

    `clock` gives seconds that never run backwards; `on_refused` gets each caller that is refused.
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
        """A context manager to hold while a request is under way.

        Raises `Overloaded` on entry if the key is at a limit; a refusal uses nothing of the rate.
        `scope` is the request's; the headers of the rate are put there either way.
        """
        return self._counted(caller, scope) if caller.is_limited else _UNLIMITED

    @contextmanager
    def _counted(self, caller: Caller, scope: MutableMapping[str, Any]) -> Iterator[None]:
        with self._lock:
            use, now = self._uses.setdefault(caller.name, _Use()), self._clock()
            refusal = use.begin(caller, now)
            if caller.per_minute is not None:
                scope[LEFT_IN_SCOPE] = use.left(caller.per_minute, now)
        if refusal:
            self._on_refused(caller)
            raise refusal
        try:
            yield
        finally:
            with self._lock:
                use.under_way -= 1


@dataclass(slots=True)
class _Use:
    """The requests of one key."""

    under_way: int = 0
    begun: deque[float] = field(default_factory=deque)
    """When each request of the last minute began."""

    def begin(self, caller: Caller, now: float) -> Overloaded | None:
        """Count a request, or say why not."""
        while self.begun and self.begun[0] + WINDOW_S - now < TOLERANCE_S:
            self.begun.popleft()
        if caller.at_once is not None and self.under_way >= caller.at_once:
            message = (
                f"the key {caller.name!r} has {self.under_way} request(s) under way and may have "
                f"{caller.at_once} at once; wait for one to end"
            )
            return Overloaded(message, retry_after_s=COME_BACK_S)
        if caller.per_minute is not None:
            if len(self.begun) >= caller.per_minute:
                wait_s = self.begun[-caller.per_minute] + WINDOW_S - now
                message = (
                    f"the key {caller.name!r} has begun {len(self.begun)} request(s) in the last "
                    f"minute and may begin {caller.per_minute}; come back in {wait_s:.1f} s"
                )
                return Overloaded(message, retry_after_s=wait_s)
            self.begun.append(now)
        self.under_way += 1
        return None

    def left(self, per_minute: int, now: float) -> Headers:
        """The rate, how many more requests may begin now, and when that is the whole rate again."""
        reset_s = self.begun[-1] + WINDOW_S - now if self.begun else 0.0
        return [
            (b"x-ratelimit-limit-requests", b"%d" % per_minute),
            (b"x-ratelimit-remaining-requests", b"%d" % max(per_minute - len(self.begun), 0)),
            (b"x-ratelimit-reset-requests", _duration(reset_s).encode()),
        ]


def _duration(seconds: float) -> str:
    """As OpenAI writes it: `0s`, `120ms`, `1.5s`; rounded up to whole milliseconds."""
    ms = math.ceil(round(seconds * 1000, ndigits=6))  # clock differences are a little off
    return f"{ms}ms" if 0 < ms < 1000 else f"{ms / 1000:g}s"
