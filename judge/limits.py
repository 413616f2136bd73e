"""How often and how long the judge tries: full-jitter back-off inside a total deadline."""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Backoff:
    """Seconds to wait before the next try: anything up to a bound that doubles with each try."""

    base_s: float = 0.5
    cap_s: float = 15.0
    chance: random.Random = field(default_factory=random.Random)

    def seconds(self, tries: int, asked_s: float | None = None) -> float:
        """After `tries` failed tries; never less than what a Retry-After header asked for."""
        bound = min(self.cap_s, self.base_s * 2 ** min(tries - 1, 30))
        return self.chance.uniform(0, bound) + (asked_s or 0.0)


class Deadline:
    """A point in time by which one judgement must be done."""

    def __init__(self, seconds: float) -> None:
        self._end = asyncio.get_running_loop().time() + seconds

    @property
    def left_s(self) -> float:
        return max(0.0, self._end - asyncio.get_running_loop().time())

    def leaves(self, seconds: float) -> bool:
        return seconds < self.left_s
