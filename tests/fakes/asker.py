"""The gateway that a batch asks, played: answers at once, or as scripted for a prompt.

With an empty queue for a prompt the answer is `re: <prompt>`, by the version `v1`.
"""

from __future__ import annotations

import asyncio
import json
from collections import defaultdict, deque
from dataclasses import dataclass, field
from typing import Any

from galen.errors import EngineLost, GalenError
from galen.keys import Caller


@dataclass(frozen=True)
class Reply:
    """An answer of the engine's."""

    status: int = 200
    content: bytes = b'{"model":"policy@v1"}'
    version: str = "v1"


@dataclass
class Wait:
    """No answer until `release` is set; `arrived` is set when the request is there."""

    release: asyncio.Event = field(default_factory=asyncio.Event)
    arrived: asyncio.Event = field(default_factory=asyncio.Event)
    cancelled: bool = False


class Deadly:
    """The engine dies of it, and with it is lost whatever else is under way."""


Scripted = Reply | Wait | Deadly | GalenError


class FakeAsker:
    """`ask` has the form of `Gateway.ask`. `asked` holds every prompt, in order."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.callers: list[tuple[Caller, str]] = []
        self.at_once = 0
        self.most_at_once = 0
        self._lives = 0
        self._queued: dict[str, deque[Scripted]] = defaultdict(deque)

    def enqueue(self, prompt: str, *replies: Scripted) -> None:
        self._queued[prompt].extend(replies)

    async def ask(self, body: dict[str, Any], path: str, caller: Caller) -> Reply:
        prompt = body["prompt"]
        self.asked.append(prompt)
        self.callers.append((caller, path))
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        life = self._lives
        try:
            await asyncio.sleep(0)  # as any call over a network lets others go on
            answer = await self._answer(prompt)
            if life != self._lives:
                raise EngineLost("the engine was lost", retry_after_s=5)
            return answer
        finally:
            self.at_once -= 1

    async def _answer(self, prompt: str) -> Reply:
        queue = self._queued[prompt]
        match queue.popleft() if queue else None:
            case GalenError() as error:
                raise error
            case Deadly():
                self._lives += 1
            case Reply() as reply:
                return reply
            case Wait() as wait:
                wait.arrived.set()
                try:
                    await wait.release.wait()
                except asyncio.CancelledError:
                    wait.cancelled = True
                    raise
            case None:
                pass
        return Reply(content=json.dumps({"model": "policy@v1", "text": f"re: {prompt}"}).encode())
