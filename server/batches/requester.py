"""Asks the engine for one line of a batch until there is an answer that is about the line.

That the engine restarts, that a version is being loaded or that a limit is reached says nothing
about a line, so these answers are waited out. A refusal or a repeated failure is the line's result.
"""

from __future__ import annotations

import asyncio
import json
import secrets
from collections.abc import Awaitable, Callable
from contextlib import nullcontext
from typing import Any

from prometheus_client import CollectorRegistry, Counter

from galen.errors import EngineLost, GalenError, UpstreamFailed
from galen.keys import Caller
from galen.telemetry import accept_request_id, request_id
from server.batches.lines import LineRequest
from server.gateway.proxy import Answer

PLACES = 32
"""Lines of all batches together that are in memory and asked at once."""
TRIES = 3
"""Failures of the engine on one line before that is the line's result."""
WAIT_S = 5.0
"""Seconds before asking again where no answer says how long."""
WAITED_OUT = frozenset({429, 503})

Ask = Callable[[dict[str, Any], str, Caller], Awaitable[Answer]]
Pause = Callable[[float], Awaitable[None]]


class Requester:
    """`places` are to be held from before a line is read until its result is kept.

    A line whose engine died is asked again alone among such lines. So one that always kills the
    engine is found out, and lines that were only in the engine with it are not blamed.
    """

    def __init__(self, ask: Ask, pause: Pause, registry: CollectorRegistry) -> None:
        self.pause = pause
        self.places = asyncio.Semaphore(PLACES)
        self._ask = ask
        self._suspects = asyncio.Lock()
        name, text = "galen_server_batch_lines", "Lines of batches that have their result, by kind"
        lines = Counter(name, text, ["outcome"], registry=registry)
        self._counters = {True: lines.labels("ok"), False: lines.labels("failed")}

    async def result(self, line: LineRequest, owner: str) -> tuple[bool, dict[str, Any]]:
        """Whether the line was answered, and its entry for the output or the error file."""
        this_id = accept_request_id(None)
        request_id.set(this_id)
        status, body = await self._settled(line, Caller(owner, "rollout"))
        self._counters[status == 200].inc()
        response = {"status_code": status, "request_id": this_id, "body": body}
        return status == 200, entry(line.custom_id, response=response)

    async def _settled(self, line: LineRequest, caller: Caller) -> tuple[int, Any]:
        """Status and body of the first reply that is about the line itself."""
        failures = 0
        turn: asyncio.Lock | nullcontext[None] = nullcontext()
        while True:
            async with turn:
                status, body, wait_s, lost = await self._reply(line, caller)
            if lost:
                turn = self._suspects
            if lost or status not in WAITED_OUT:
                failures += 1
                if status < 500 or status == 501 or failures == TRIES:
                    return status, body
            await self.pause(wait_s)

    async def _reply(self, line: LineRequest, caller: Caller) -> tuple[int, Any, float, bool]:
        """Status, body, seconds to wait before asking again, and whether the engine died."""
        try:
            answer = await self._ask(line.body, line.url, caller)
            return answer.status, json.loads(answer.content), WAIT_S, False
        except GalenError as error:
            problem = error
        except ValueError:
            problem = UpstreamFailed("the engine answered something that is not JSON")
        wait_s = problem.retry_after_s or WAIT_S
        return problem.status, problem.body(), wait_s, isinstance(problem, EngineLost)


def entry(custom_id: str, response: Any = None, error: Any = None) -> dict[str, Any]:
    """One line of an output file, as OpenAI writes it."""
    entry_id = f"batch_req_{secrets.token_hex(12)}"
    return {"id": entry_id, "custom_id": custom_id, "response": response, "error": error}
