"""Asks for one line of a batch until it has a result that is its own.

That the engine restarts, that a version is being loaded or that a limit is reached says nothing
about a line: such answers are waited out. What is refused, or fails again and again, is a result.
"""

from __future__ import annotations

import asyncio
import json
import secrets
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, Protocol

from galen.errors import EngineLost, GalenError, UpstreamFailed
from galen.keys import Caller
from galen.telemetry import accept_request_id, request_id
from server.batches.lines import Request
from server.batches.schemas import Endpoint

PLACES = 32
"""Lines of all batches together that are asked at once. Whoever waits keeps their place, so that
no more bodies than this are in memory."""
TRIES = 3
"""How often a line may fail in the engine, or the engine die of it, before that is its result."""
WAIT_S = 5.0
"""Before asking again where nobody says how long to wait."""
WAITED_OUT = frozenset({429, 503})
NOT_IMPLEMENTED = 501
"""The engine will not learn it by being asked again."""

Pause = Callable[[float], Awaitable[None]]
"""Waits for some seconds."""
OnLine = Callable[[bool], None]
"""Told of each line that has its result, and whether that is an answer or a failure."""


class Answer(Protocol):
    """The engine's answer, whole; `version` is the policy version that wrote it."""

    @property
    def status(self) -> int: ...
    @property
    def content(self) -> bytes: ...
    @property
    def version(self) -> str: ...


class Asker(Protocol):
    async def ask(self, body: dict[str, Any], path: str, caller: Caller) -> Answer:
        """Raises `GalenError` where there is no answer of the engine's."""
        ...


@dataclass(frozen=True, slots=True)
class Result:
    """A line's answer in the form in which the output file has it."""

    good: bool
    entry: dict[str, Any]


class Questioner:
    """Asks for the lines of every batch, so many at once.

    A line of which the engine died is asked again while no other such line is, so that one that
    always does it is found out and those that were only near it are not blamed.
    """

    def __init__(self, asker: Asker, pause: Pause, on_line: OnLine = lambda good: None) -> None:
        self._asker = asker
        self._pause = pause
        self._on_line = on_line
        self._places = asyncio.Semaphore(PLACES)
        self._suspects = asyncio.Lock()

    async def answer(self, request: Request, path: Endpoint, owner: str) -> Result:
        # At a rollout's priority: people who wait for an answer go first.
        caller = Caller(owner, "rollout")
        this_id = accept_request_id(None)
        request_id.set(this_id)
        async with self._places:
            reply = await self._settled(request.body, path, caller)
        response = {"status_code": reply.status, "request_id": this_id, "body": reply.body}
        good = reply.status == 200
        self._on_line(good)
        return Result(good, entry_of(request.custom_id, response, None))

    async def _settled(self, body: dict[str, Any], path: str, caller: Caller) -> _Reply:
        """The first reply that is the line's own."""
        failures = 0
        alone: AbstractAsyncContextManager[Any] = nullcontext()
        while True:
            async with alone:
                reply = await self._reply(body, path, caller)
            if reply.engine_lost:
                alone = self._suspects
            if reply.engine_lost or reply.status not in WAITED_OUT:
                failures += 1
                if reply.status < 500 or reply.status == NOT_IMPLEMENTED or failures == TRIES:
                    return reply
            await self._pause(reply.wait_s)

    async def _reply(self, body: dict[str, Any], path: str, caller: Caller) -> _Reply:
        try:
            answer = await self._asker.ask(body, path, caller)
            return _Reply(answer.status, _json(answer.content), WAIT_S)
        except GalenError as error:
            lost = isinstance(error, EngineLost)
            return _Reply(error.status, error.body(), error.retry_after_s or WAIT_S, lost)


@dataclass(frozen=True, slots=True)
class _Reply:
    """`body` is what the caller of the route itself would have read."""

    status: int
    body: Any
    wait_s: float
    engine_lost: bool = False


def entry_of(
    custom_id: str, response: dict[str, Any] | None, error: dict[str, Any] | None
) -> dict[str, Any]:
    """One line of an output file, as OpenAI writes it."""
    return {
        "id": f"batch_req_{secrets.token_hex(12)}",
        "custom_id": custom_id,
        "response": response,
        "error": error,
    }


def _json(content: bytes) -> Any:
    try:
        return json.loads(content)
    except ValueError:
        raise UpstreamFailed("the engine answered something that is not JSON") from None
