"""The engines behind the gateway: which of them answers a request.

A request goes to the engine with the fewest requests outstanding. A conversation stays with the
engine that has its beginning in the prefix cache, unless that one is much busier than another.
An engine with a problem is out of the rotation until it holds again what it should.
"""

from __future__ import annotations

import asyncio
import functools
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Collection, Sequence
from typing import Any

from galen import digest
from galen.errors import Unavailable
from server.policy.replica import Replica

RETRY_AFTER_S = 5.0
REMEMBERED = 10_000
"""Conversations whose engine is remembered. The least recently used is forgotten first."""
SLACK = 4
"""A conversation stays with its engine while that has at most this many requests more than the
idlest one."""

OnReady = Callable[[Replica], Awaitable[None]]


class Pool:
    """`replicas`: one or more, in the order of the settings."""

    def __init__(self, replicas: Sequence[Replica]) -> None:
        self.replicas = tuple(replicas)
        self._homes: OrderedDict[str, Replica] = OrderedDict()

    @property
    def ready(self) -> list[Replica]:
        """Those in the rotation."""
        return [replica for replica in self.replicas if replica.is_ready()]

    @property
    def problem(self) -> str | None:
        """Why no engine can be used now; None when one can."""
        if self.ready:
            return None
        problems = [f"{each.label}: {each.engine.problem}" for each in self.replicas]
        return "; ".join(problems) if len(problems) > 1 else self.replicas[0].engine.problem

    def refuse_without_engine(self) -> None:
        if problem := self.problem:
            soonest_s = min(each.engine.retry_after_s for each in self.replicas)
            raise Unavailable(problem, retry_after_s=soonest_s)

    async def run(self, on_ready: OnReady) -> None:
        """Keep every engine running until cancelled. Raises if a local one cannot be started."""
        running = [
            asyncio.create_task(each.engine.run(functools.partial(on_ready, each)))
            for each in self.replicas
        ]
        try:
            await asyncio.gather(*running)
        finally:
            for task in running:
                task.cancel()
            await asyncio.wait(running)

    def choose(
        self, version: str, conversation: str | None, without: Collection[Replica] = ()
    ) -> Replica:
        """The replica that is to answer with `version`.

        `conversation` comes from `conversation_of`; `without` are replicas that have failed. Raises
        `Unavailable` if no replica in the rotation is left.
        """
        fit = self.fit(version, without)
        if not fit:
            self.refuse_without_engine()
            raise Unavailable(f"no engine has {version!r} now", retry_after_s=RETRY_AFTER_S)
        chosen = min(fit, key=lambda each: each.outstanding)
        if conversation is not None:
            home = self._homes.get(conversation)
            if home in fit and home.outstanding <= chosen.outstanding + SLACK:
                chosen = home
            self._remember(conversation, chosen)
        return chosen

    def fit(self, version: str, without: Collection[Replica]) -> list[Replica]:
        """The replicas in the rotation that hold the version, without those given."""
        return [each for each in self.ready if each.holds(version) and each not in without]

    def conversation_of(self, body: dict[str, Any]) -> str | None:
        """A key that all requests of one conversation share; None if there is only one engine.

        It is made from OpenAI's `prompt_cache_key` if given. Else from the messages up to the
        user's first, or from the prompt, which all samples of one prompt share.
        """
        if len(self.replicas) == 1:
            return None
        if key := body.get("prompt_cache_key"):
            return digest.of_json(key)
        return digest.of_json(_opening(body))

    def _remember(self, conversation: str, replica: Replica) -> None:
        self._homes[conversation] = replica
        self._homes.move_to_end(conversation)
        if len(self._homes) > REMEMBERED:
            self._homes.popitem(last=False)


def _opening(body: dict[str, Any]) -> Any:
    messages = body.get("messages", body.get("input"))
    if not isinstance(messages, list):
        return body.get("prompt", messages)
    opening: list[Any] = [body.get("system")]
    for message in messages:
        opening.append(message)
        if isinstance(message, dict) and message.get("role") == "user":
            break
    return opening
