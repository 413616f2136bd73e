"""The teacher: an OpenAI-compatible endpoint that replies with one JSON object for each answer.

A judgement waits in the queue, then calls until it has a verdict. Its deadline starts with the
first call. Each call has its own slot and its own reservation, so a judgement that is backing off
holds neither a slot nor money.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

from galen.errors import InvalidInput
from judge.rubrics.rubric import Rubric
from judge.rubrics.template import draw_boundary
from judge.settings import JudgeSettings, TeacherSettings
from judge.teacher.calls.completion import Completion
from judge.teacher.calls.endpoint import Endpoint, Messages, TryLaterError
from judge.teacher.calls.fair_queue import FairQueue, QueueFullError
from judge.teacher.calls.limits import Backoff, CircuitOpenError, Deadline
from judge.teacher.calls.paid_calls import Calls, Progress
from judge.teacher.form import Form, form_of
from judge.teacher.mock_teacher import MockTeacher
from judge.teacher.panel import Panel
from judge.teacher.prices import Prices
from judge.teacher.profiles import Profile
from judge.teacher.reply import Judged, MalformedError
from judge.teacher.verdict import (
    Account,
    Client,
    RejectedReply,
    Teacher,
    TeacherError,
    TeacherState,
    Verdict,
)
from judge.text.case import Case

_REASKS = 2
"""Further asks after a malformed reply, each with what was wrong with it."""
_LONGEST_SHOWN = 2000
"""Characters of a malformed reply that the teacher is shown again."""
_LEAST_SHARE = 0.1
"""Share of the deadline. With less time left no new call is started: it would cost and time out."""


def utc_now() -> datetime:
    return datetime.now(UTC)


class OpenAITeacher:
    """`now` is the clock that peak prices go by."""

    def __init__(
        self,
        settings: TeacherSettings,
        api_key: str,
        prices: Prices,
        backoff: Backoff | None = None,
        now: Callable[[], datetime] = utc_now,
    ) -> None:
        self._settings = settings
        self._endpoint = Endpoint(settings, api_key)
        self.provider = self._endpoint.host
        self._backoff = backoff or Backoff()
        self._calls = Calls(self._endpoint, settings, prices, now)
        self._queue = FairQueue(_slots(settings.concurrency), settings.queue)

    def identity(self) -> dict[str, Any]:
        return {
            "provider": self.provider,
            "base_url": self._settings.base_url,
            "model": self._settings.model,
            "epoch": self._settings.epoch,
            "sampling": self._endpoint.sampling,
        }

    @property
    def latched(self) -> str | None:
        return self._endpoint.latched.message if self._endpoint.latched else None

    @property
    def room(self) -> int:
        return self._queue.room

    @property
    def state(self) -> TeacherState:
        return TeacherState(
            limit=self._calls.window.limit,
            in_flight=self._calls.in_flight.taken,
            waiting=self._queue.waiting + self._queue.taken - self._calls.in_flight.taken,
            circuit=self._calls.breaker.circuit,
            retry_after_s=self._calls.breaker.retry_after_s,
        )

    async def judge(self, rubric: Rubric, case: Case, client: Client) -> Verdict:
        progress = Progress()
        try:
            self._check()
            return await self._obtain(rubric, case, client, progress)
        except TeacherError as error:
            error.spent, error.rejected = progress.spent, tuple(progress.rejected)
            raise

    async def aclose(self) -> None:
        await self._endpoint.aclose()

    def _check(self) -> None:
        """Raises `TeacherError` if the endpoint is latched or its circuit is open."""
        if latch := self._endpoint.latched:
            raise TeacherError(latch.code, latch.message, retryable=False)
        try:
            self._calls.breaker.check()
        except CircuitOpenError as error:
            raise self._unavailable(str(error)) from None

    async def _obtain(
        self, rubric: Rubric, case: Case, client: Client, progress: Progress
    ) -> Verdict:
        """Call until there is a verdict. Raises `TeacherError`."""
        while True:
            try:
                async with self._slot(client, progress) as deadline:
                    self._check()
                    return await self._ask(rubric, case, client.account, progress, deadline)
            except MalformedError as error:
                if len(progress.rejected) > _REASKS:
                    reason = (
                        f"{self.provider} replied {len(progress.rejected)} times without a verdict"
                    )
                    raise TeacherError(
                        "judge_malformed", f"{reason} (last: {error})", retryable=False
                    ) from None
            except TimeoutError:
                limit_s = self._settings.deadline_s
                message = f"{self.provider} gave no verdict within {limit_s:g} s"
                raise TeacherError("timeout", message, retryable=True) from None
            except TryLaterError as error:
                progress.tries += 1
                wait_s = self._backoff.seconds(progress.tries, error.after_s)
                if not deadline.leaves(wait_s):
                    raise self._unavailable(f"tried {progress.tries} times, {error}") from None
                await asyncio.sleep(wait_s)

    @asynccontextmanager
    async def _slot(self, client: Client, progress: Progress) -> AsyncIterator[Deadline]:
        """Hold a slot for one call; the first one starts the judgement's deadline."""
        if progress.deadline is None:
            try:
                await self._queue.enter(client.name)
            except QueueFullError as error:
                raise TeacherError("overloaded", f"{error}; try later", retryable=True) from None
            progress.deadline = Deadline(self._settings.deadline_s)
        else:
            latest = progress.deadline.at - _LEAST_SHARE * self._settings.deadline_s
            try:
                async with asyncio.timeout_at(latest):
                    await self._queue.enter(client.name, returning=True)
            except TimeoutError:
                raise self._unavailable("it accepts too few calls at once now") from None
        try:
            yield progress.deadline
        finally:
            self._queue.limit = _slots(self._calls.window.limit)
            self._queue.leave()

    async def _ask(
        self, rubric: Rubric, case: Case, account: Account, progress: Progress, deadline: Deadline
    ) -> Verdict:
        """One call. Raises `MalformedError`, `TryLaterError`, `TeacherError` or `TimeoutError`."""
        form = form_of(rubric, case)
        messages = rubric.template.messages(form.material, draw_boundary(form.material))
        messages += _corrections(progress.rejected)
        try:
            completion = await self._calls.make(messages, account, progress, deadline, form.schema)
            judged = _read(completion, self._endpoint.profile, form)
        except MalformedError as error:
            progress.reject(str(error), error.reply)
            raise
        return Verdict(
            scores=judged.scores,
            evidence=judged.evidence,
            why=judged.why,
            reply=completion.text,
            provider=self.provider,
            model_asked=self._settings.model,
            model_answered=completion.model or self._settings.model,
            fingerprint=completion.system_fingerprint,
            spent=progress.spent,
            latency_s=self._settings.deadline_s - deadline.left_s,
            asks=progress.asks,
            rejected=tuple(progress.rejected),
        )

    def _unavailable(self, reason: str) -> TeacherError:
        message = f"{self.provider} is unavailable: {reason}"
        return TeacherError("provider_unavailable", message, retryable=True)


def _slots(limit: int) -> int:
    """Slots for `limit` calls at once. The spare ones reserve their money, which takes a commit,
    while the calls run; so the next call starts as soon as one ends."""
    return limit + limit // 4


def _corrections(rejected: Sequence[RejectedReply]) -> Messages:
    """What was wrong with the last reply: asked alike, at temperature 0, a model replies alike."""
    if not rejected:
        return []
    last = rejected[-1]
    told = f"上面的评审不合格（{last.reason}）。请改正，重新输出完整的 json 对象。"
    return [
        {"role": "assistant", "content": last.reply[:_LONGEST_SHOWN]},
        {"role": "user", "content": told},
    ]


def _read(completion: Completion, profile: Profile, form: Form) -> Judged:
    """Raises `MalformedError`, or `TeacherError` if the endpoint refused to reply."""
    text, reason = completion.text, completion.finish_reason
    if reason == "content_filter":
        message = "the endpoint's content filter removed the reply; asking again would not help"
        raise TeacherError("judge_refused", message, retryable=False)
    if reason != "stop":
        raise MalformedError("cut off" if reason == "length" else "not ended normally", text)
    try:
        return form.read(profile.read(text))
    except MalformedError as error:
        raise MalformedError(str(error), text) from None


def teacher_for(
    settings: TeacherSettings, environment: Mapping[str, str], *, is_capped: bool = False
) -> Teacher:
    """The teacher from settings and environment; without a key and an address of one's own, the
    mock.

    Raises `InvalidInput` if a cap is set that a model without a price could not be held to.
    """
    api_key = environment.get(settings.key_variable, "").strip()
    meant = settings.with_environment(environment)
    if not api_key and meant.base_url == TeacherSettings().base_url:
        return MockTeacher()
    return _endpoint(meant, api_key, is_capped=is_capped)


def teacher_of(settings: JudgeSettings, environment: Mapping[str, str]) -> Teacher:
    """The panel if the settings name one, else the teacher; `teacher_for` says how.

    The environment's address and model are not those of a panel's members. Raises `InvalidInput`
    for a member whose key is not set, too.
    """
    is_capped = settings.budget.is_capped
    if not settings.panel:
        return teacher_for(settings.teacher, environment, is_capped=is_capped)
    members = []
    for place, each in enumerate(settings.panel):
        api_key = environment.get(each.key_variable, "").strip()
        if not api_key and each.base_url == TeacherSettings().base_url:
            raise InvalidInput(
                f"no {each.key_variable} for {each.model}; set it, or name another key_variable",
                param=f"judge.panel.{place}",
            )
        members.append(_endpoint(each, api_key, is_capped=is_capped))
    return Panel(tuple(members))


def _endpoint(meant: TeacherSettings, api_key: str, *, is_capped: bool) -> OpenAITeacher:
    prices = Prices.load().priced(meant.model, meant.price)
    if is_capped and meant.model not in prices.models:
        raise InvalidInput(
            f"{meant.model} has no price, so no cap would hold; set judge.teacher.price, for "
            "example {cache_hit: 0, cache_miss: 0, output: 0} where it is free, or set both caps "
            "of judge.budget to null",
            param="judge.teacher.price",
        )
    return OpenAITeacher(meant, api_key, prices)
