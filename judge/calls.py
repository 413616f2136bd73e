"""Upstream calls as a judgement makes them: paid for, timed, and heeded by window and circuit."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from galen.records import storable
from judge.completion import Completion, Usage
from judge.endpoint import Endpoint, Messages, TryLaterError
from judge.limits import Breaker, Deadline, Window
from judge.prices import Prices
from judge.queue import FairQueue
from judge.settings import TeacherSettings
from judge.verdict import Purse, RejectedReply, Reservation, Spent, TeacherError

_LONGEST_KEPT = 20_000
"""Characters of a rejected reply."""
_NO_RESOURCES = "insufficient_system_resource"
"""A finish reason that means: too much to do, try again."""
_FEW = 20
"""Failures that open no circuit, however few calls are made at once."""


@dataclass
class Progress:
    """How one judgement has gone so far."""

    deadline: Deadline | None = None
    """None until its first turn."""
    asks: int = 0
    tries: int = 0
    """Calls that failed in a way which another may mend."""
    rejected: list[RejectedReply] = field(default_factory=list)
    _known: Spent = field(default_factory=Spent)
    _at_risk_usd: float = 0.0
    _last_usd: float = 0.0

    @property
    def spent(self) -> Spent:
        """By all calls; one whose cost is not known counts with the most that it can have been."""
        return self._known + Spent(cost_usd=self._at_risk_usd)

    def begin_call(self, most_usd: float) -> None:
        self._known, self._at_risk_usd, self._last_usd = self.spent, most_usd, most_usd
        self.asks += 1

    async def settle(self, reservation: Reservation, spent: Spent) -> None:
        """The call that was begun last came back."""
        self._known, self._at_risk_usd, self._last_usd = self._known + spent, 0.0, spent.cost_usd
        await reservation.settle(spent.cost_usd)

    def reject(self, reason: str, reply: str) -> None:
        """The last call's reply was no verdict."""
        kept = storable(reply[:_LONGEST_KEPT])
        self.rejected.append(RejectedReply(reason, kept, self._last_usd))


class Calls:
    """Calls to one endpoint. `now` is the clock by which peak hours are told."""

    def __init__(
        self,
        endpoint: Endpoint,
        settings: TeacherSettings,
        prices: Prices,
        now: Callable[[], datetime],
    ) -> None:
        self.window = Window(settings.concurrency)
        self.under_way = FairQueue(settings.concurrency, bound=sys.maxsize)
        """Who has a place here is talking to the endpoint."""
        failures = settings.breaker_failures or max(_FEW, 2 * settings.concurrency)
        self.breaker = Breaker(failures, settings.breaker_rest_s)
        self._endpoint = endpoint
        self._settings = settings
        self._prices = prices
        self._now = now

    async def make(
        self, messages: Messages, purse: Purse, progress: Progress, deadline: Deadline
    ) -> Completion:
        """A call whose cost is reserved before and settled after.

        One that timed out, was cut off or cannot be read may have been billed: its reservation
        stands. Raises `TryLaterError`, `CircuitOpenError`, `MalformedError`, `TeacherError`, and
        `TimeoutError` at the deadline.
        """
        with self.breaker.call():
            started = self._now()
            most_usd = self._most_usd(messages, started, deadline)
            reservation = await purse.reserve(most_usd)
            progress.begin_call(most_usd)
            try:
                async with self._place(deadline):
                    completion = await self._complete(messages, deadline)
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
    async def _place(self, deadline: Deadline) -> AsyncIterator[None]:
        """A place among the calls under way; who leaves it has told the window what came of it."""
        try:
            async with asyncio.timeout_at(deadline.at):
                await self.under_way.enter("")
        except TimeoutError:
            raise TryLaterError("no place in time") from None
        try:
            yield
        finally:
            self.under_way.limit = self.window.limit
            self.under_way.leave()

    async def _complete(self, messages: Messages, deadline: Deadline) -> Completion:
        """The call itself, heeded by window and circuit. Raises `TimeoutError` as well."""
        ticket = self.window.ticket
        try:
            async with asyncio.timeout_at(deadline.at):
                completion = await self._endpoint.complete(messages)
        except TimeoutError:
            self.breaker.failed()
            raise
        except TryLaterError as error:
            self._heed_failure(ticket, crowded=error.crowded)
            raise
        except TeacherError as error:
            if error.retryable:
                self._heed_failure(ticket)
            else:
                self.breaker.succeeded()  # it is there, and dislikes this request
            raise
        if completion.finish_reason == _NO_RESOURCES:
            self._heed_failure(ticket, crowded=True)
        else:
            self.breaker.succeeded()
            self.window.succeeded()
        return completion

    def _heed_failure(self, ticket: int, *, crowded: bool = False) -> None:
        self.breaker.failed()
        if crowded:
            self.window.refused(ticket)

    def _most_usd(self, messages: Messages, started: datetime, deadline: Deadline) -> float:
        texts = [message["content"] for message in messages]
        latest = started + timedelta(seconds=deadline.left_s)
        model, max_tokens = self._settings.model, self._settings.max_tokens
        return self._prices.most_usd(model, texts, max_tokens, started, latest)

    def _spent(self, usage: Usage, started: datetime) -> Spent:
        prompt, hit = usage.prompt_tokens, usage.prompt_cache_hit_tokens
        written, moments = usage.completion_tokens, (started, self._now())
        cost = self._prices.cost_usd(self._settings.model, prompt, hit, written, *moments)
        return Spent(prompt, written, hit, cost)
