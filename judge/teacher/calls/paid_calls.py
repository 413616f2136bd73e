"""Upstream calls: each reserves money, has a time limit, and reports to window and breaker."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from galen.records import storable
from judge.settings import TeacherSettings
from judge.teacher.calls.completion import Completion, Usage
from judge.teacher.calls.endpoint import Endpoint, Messages, TryLaterError
from judge.teacher.calls.fair_queue import FairQueue
from judge.teacher.calls.limits import Breaker, Deadline, Pace, Window
from judge.teacher.prices import CHARACTERS_A_TOKEN, Prices
from judge.teacher.verdict import Account, RejectedReply, Reservation, Spent, TeacherError

_LONGEST_KEPT = 20_000
"""Characters stored of a rejected reply."""
_NO_RESOURCES = "insufficient_system_resource"
"""DeepSeek's finish reason for an overloaded server; another try may succeed."""
_FEWEST_FAILURES = 20
"""Failures that open the circuit, at least, however few calls are made at once."""


@dataclass
class Progress:
    deadline: Deadline | None = None
    """None until the first call."""
    asks: int = 0
    tries: int = 0
    """Calls that failed and may be repeated."""
    rejected: list[RejectedReply] = field(default_factory=list)
    _known: Spent = field(default_factory=Spent)
    _at_risk_usd: float = 0.0
    _last_usd: float = 0.0

    @property
    def spent(self) -> Spent:
        """The cost of all calls; a call of unknown cost counts at its maximum."""
        return self._known + Spent(cost_usd=self._at_risk_usd)

    def begin_call(self, most_usd: float) -> None:
        self._known, self._at_risk_usd, self._last_usd = self.spent, most_usd, most_usd
        self.asks += 1

    async def settle(self, reservation: Reservation, spent: Spent) -> None:
        """Record the latest call's real cost."""
        self._known, self._at_risk_usd, self._last_usd = self._known + spent, 0.0, spent.cost_usd
        await reservation.settle(spent.cost_usd)

    def reject(self, reason: str, reply: str) -> None:
        """Record that the latest call's reply was not a valid verdict."""
        kept = storable(reply[:_LONGEST_KEPT])
        self.rejected.append(RejectedReply(reason, kept, self._last_usd))


class Calls:
    """Calls to one endpoint. `now` is the clock that peak prices go by."""

    def __init__(
        self,
        endpoint: Endpoint,
        settings: TeacherSettings,
        prices: Prices,
        now: Callable[[], datetime],
    ) -> None:
        self.window = Window(settings.concurrency)
        self.in_flight = FairQueue(settings.concurrency, bound=sys.maxsize)
        """Its slots are the calls that are on the wire."""
        failures = settings.breaker_failures or max(_FEWEST_FAILURES, 2 * settings.concurrency)
        self.breaker = Breaker(failures, settings.breaker_rest_s)
        self._endpoint = endpoint
        self._settings = settings
        self._prices = prices
        self._now = now
        self._pace = Pace(settings.calls_per_minute, settings.tokens_per_minute)

    async def make(
        self,
        messages: Messages,
        account: Account,
        progress: Progress,
        deadline: Deadline,
        schema: dict[str, Any] | None = None,
    ) -> Completion:
        """Make one call; its cost is reserved before and settled after.

        A call that timed out or broke off may have been billed, so its reservation stays. Raises
        `TryLaterError`, `CircuitOpenError`, `MalformedError`, `TeacherError`, and `TimeoutError`
        at the deadline.
        """
        with self.breaker.call():
            started = self._now()
            most_usd = self._most_usd(messages, started, deadline)
            reservation = await account.reserve(most_usd)
            progress.begin_call(most_usd)
            try:
                async with self._slot(deadline):
                    completion = await self._complete(messages, deadline, schema)
            except TryLaterError as error:
                if not error.billed:
                    await progress.settle(reservation, Spent())
                raise
            except TeacherError:
                await progress.settle(reservation, Spent())
                raise
            if completion.usage is not None:
                await progress.settle(reservation, self._spent(completion.usage, started))
            if completion.finish_reason == _NO_RESOURCES:
                raise TryLaterError(_NO_RESOURCES)
            return completion

    @asynccontextmanager
    async def _slot(self, deadline: Deadline) -> AsyncIterator[None]:
        """Hold one of the window's slots; the window's new size applies when it is released."""
        try:
            async with asyncio.timeout_at(deadline.at):
                await self.in_flight.enter("")
        except TimeoutError:
            raise TryLaterError("no free slot in time") from None
        try:
            yield
        finally:
            self.in_flight.limit = self.window.limit
            self.in_flight.leave()

    async def _complete(
        self, messages: Messages, deadline: Deadline, schema: dict[str, Any] | None
    ) -> Completion:
        """The call itself; window and breaker count its outcome. Raises what `make` raises."""
        ticket = self.window.ticket
        try:
            async with asyncio.timeout_at(deadline.at):
                await self._pace.wait(self._tokens(messages))
                completion = await self._endpoint.complete(messages, schema)
        except TimeoutError:
            self.breaker.failed()
            raise
        except TryLaterError as error:
            self._count_failure(ticket, overloaded=error.overloaded)
            raise
        except TeacherError as error:
            if error.retryable:
                self._count_failure(ticket)
            else:
                self.breaker.succeeded()  # the endpoint works; only this request is refused
            raise
        if completion.finish_reason == _NO_RESOURCES:
            self._count_failure(ticket, overloaded=True)
        else:
            self.breaker.succeeded()
            self.window.succeeded()
        return completion

    def _count_failure(self, ticket: int, *, overloaded: bool = False) -> None:
        self.breaker.failed()
        if overloaded:
            self.window.refused(ticket)

    def _most_usd(self, messages: Messages, started: datetime, deadline: Deadline) -> float:
        texts = [message["content"] for message in messages]
        latest = started + timedelta(seconds=deadline.left_s)
        model, max_tokens = self._settings.model, self._settings.max_tokens
        return self._prices.most_usd(model, texts, max_tokens, started, latest)

    def _tokens(self, messages: Messages) -> int:
        """An estimate of what the call counts for in a bound on tokens a minute."""
        written = sum(len(message["content"]) for message in messages)
        return round(written / CHARACTERS_A_TOKEN) + self._settings.max_tokens

    def _spent(self, usage: Usage, started: datetime) -> Spent:
        prompt, hit = usage.prompt_tokens, usage.prompt_cache_hit_tokens
        written, moments = usage.completion_tokens, (started, self._now())
        cost = self._prices.cost_usd(self._settings.model, prompt, hit, written, *moments)
        return Spent(prompt, written, hit, cost)
