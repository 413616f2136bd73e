"""The teacher: any OpenAI-compatible endpoint, asked for one JSON object for each answer.

The SDK's own retries are off. Ours stay inside one deadline, heed Retry-After, and tell apart what
a second try can mend (429, 500, 503, a lost connection), what the operator must (no credit, a bad
key, an unknown model: the teacher latches), and what nobody can (a reply that is not a verdict).
"""

from __future__ import annotations

import asyncio
import re
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import openai
from pydantic import ValidationError

from galen.errors import InvalidInput
from judge.case import Case
from judge.completion import Completion, Usage
from judge.ledger import material_of
from judge.limits import Backoff, Deadline
from judge.mock_teacher import MockTeacher
from judge.prices import Prices
from judge.rubric import Rubric
from judge.settings import KEY_VARIABLE, TeacherSettings
from judge.template import draw_boundary
from judge.verdict import Client, MalformedError, Spent, Teacher, TeacherError, Verdict, parse_reply

_MORE_ASKS = 2
"""Further asks after a malformed reply."""
_RETRIED = frozenset({429, 500, 503})
_UNKNOWN_MODEL = re.compile(
    r"model[^.]{0,60}?(?:not exist|not found|unknown|invalid|ended|deprecat|no longer|not support)",
    re.IGNORECASE,
)


@dataclass
class _Progress:
    """How one judgement has gone so far, kept where a deadline cannot wipe it out."""

    spent: Spent = field(default_factory=Spent)
    asks: int = 0
    tries: int = 0
    malformed: int = 0


class OpenAITeacher:
    """`concurrency` calls at once at most; `latched` once only the operator can help."""

    def __init__(
        self,
        settings: TeacherSettings,
        api_key: str,
        prices: Prices,
        backoff: Backoff | None = None,
    ) -> None:
        host = urlsplit(settings.base_url).hostname
        if not host:
            message = "base_url must be an http(s) URL such as https://api.deepseek.com"
            raise InvalidInput(message, param="teacher.base_url")
        self.provider = host
        self.latched: str | None = None
        self._latch_code = "teacher_refused"
        self._settings = settings
        self._prices = prices
        self._backoff = backoff or Backoff()
        self._slots = asyncio.Semaphore(settings.concurrency)
        self._client = openai.AsyncOpenAI(
            api_key=api_key,
            base_url=settings.base_url,
            max_retries=0,
            timeout=settings.deadline_s,
        )
        deepseek = host == "deepseek.com" or host.endswith(".deepseek.com")
        self._thinking_off = deepseek if settings.thinking_off is None else settings.thinking_off

    def identity(self) -> dict[str, Any]:
        return {
            "provider": self.provider,
            "base_url": self._settings.base_url,
            "model": self._settings.model,
            "epoch": self._settings.epoch,
            "sampling": {k: v for k, v in self._options().items() if k != "model"},
        }

    @property
    def room(self) -> int:
        return sys.maxsize

    async def judge(self, rubric: Rubric, case: Case, client: Client) -> Verdict:
        async with self._slots:
            started, progress = time.perf_counter(), _Progress()
            try:
                async with asyncio.timeout(self._settings.deadline_s):
                    completion, scores, why = await self._obtain(rubric, case, progress)
            except TimeoutError:
                raise TeacherError(
                    "timeout",
                    f"{self.provider} gave no verdict within {self._settings.deadline_s:g} s",
                    retryable=True,
                    spent=progress.spent,
                ) from None
        return Verdict(
            scores=scores,
            why=why,
            reply=completion.choices[0].message.content or "",
            provider=self.provider,
            model_asked=self._settings.model,
            model_answered=completion.model or self._settings.model,
            fingerprint=completion.system_fingerprint,
            spent=progress.spent,
            latency_s=time.perf_counter() - started,
            asks=progress.asks,
        )

    async def aclose(self) -> None:
        await self._client.close()

    async def _obtain(
        self, rubric: Rubric, case: Case, progress: _Progress
    ) -> tuple[Completion, dict[str, float], str]:
        """Ask until a verdict comes, or raise `TeacherError`."""
        deadline = Deadline(self._settings.deadline_s)
        while True:
            if self.latched:
                raise self._failed(self._latch_code, self.latched, progress)
            progress.asks += 1
            try:
                completion = await self._call(rubric, case)
                progress.spent += self._spent(completion)
                return completion, *self._read(completion, rubric)
            except MalformedError as error:
                progress.malformed += 1
                if progress.malformed > _MORE_ASKS:
                    reason = f"{self.provider} replied {progress.malformed} times with no verdict"
                    raise self._failed(
                        "judge_malformed", f"{reason} (last: {error})", progress
                    ) from None
            except _TryLaterError as error:
                progress.tries += 1
                wait_s = self._backoff.seconds(progress.tries, error.after_s)
                if not deadline.leaves(wait_s):
                    raise self._failed(
                        "provider_unavailable",
                        f"{self.provider} was tried {progress.tries} times: {error}",
                        progress,
                        retryable=True,
                    ) from None
                await asyncio.sleep(wait_s)

    async def _call(self, rubric: Rubric, case: Case) -> Completion:
        material = material_of(case)
        messages: Any = rubric.template.messages(material, draw_boundary(material))
        try:
            raw = await self._client.chat.completions.with_raw_response.create(
                messages=messages, **self._options()
            )
        except openai.APIStatusError as error:
            raise self._meaning(error) from None
        except openai.APIConnectionError:
            raise _TryLaterError("no connection", None) from None
        try:
            return Completion.model_validate_json(raw.http_response.content)
        except ValidationError:
            raise MalformedError("not a chat completion") from None

    def _options(self) -> dict[str, Any]:
        options: dict[str, Any] = {
            "model": self._settings.model,
            "temperature": 0.0,
            "max_tokens": self._settings.max_tokens,
            "response_format": {"type": "json_object"},
        }
        if self._thinking_off:
            options["extra_body"] = {"thinking": {"type": "disabled"}}
        return options

    def _read(self, completion: Completion, rubric: Rubric) -> tuple[dict[str, float], str]:
        if not completion.choices:
            raise MalformedError("no choice")
        choice = completion.choices[0]
        if choice.finish_reason == "insufficient_system_resource":
            raise _TryLaterError(choice.finish_reason, None)
        if choice.finish_reason == "content_filter":
            message = f"{self.provider} filtered its own reply"
            raise TeacherError("judge_refused", message, retryable=False)
        if choice.finish_reason != "stop":
            raise MalformedError(f"finish_reason {choice.finish_reason}")
        return parse_reply(choice.message.content or "", list(rubric.file.dimensions))

    def _meaning(self, error: openai.APIStatusError) -> Exception:
        """What an error status calls for: another try, the operator, or giving this item up."""
        status = error.status_code
        if status in _RETRIED:
            return _TryLaterError(f"status {status}", _retry_after_s(error))
        if status == 402:
            self._latch_code = "out_of_credit"
            self.latched = f"{self.provider} has no credit left; top it up and restart the judge"
        elif status in (401, 403):
            self.latched = f"{self.provider} refused the key in {KEY_VARIABLE}; mend it and restart"
        elif status == 404 or (status == 400 and _UNKNOWN_MODEL.search(str(error))):
            model = self._settings.model
            self.latched = f"{self.provider} has no model {model!r}; set JUDGE_MODEL and restart"
        if self.latched:
            return TeacherError(self._latch_code, self.latched, retryable=False)
        message = f"{self.provider} answered {status}"
        return TeacherError("provider_error", message, retryable=status >= 500)

    def _spent(self, completion: Completion) -> Spent:
        usage = completion.usage or Usage()
        prompt, hit = usage.prompt_tokens, usage.prompt_cache_hit_tokens
        cost = self._prices.cost_usd(self._settings.model, prompt, hit, usage.completion_tokens)
        return Spent(prompt, usage.completion_tokens, hit, cost)

    @staticmethod
    def _failed(
        code: str, message: str, progress: _Progress, *, retryable: bool = False
    ) -> TeacherError:
        return TeacherError(code, message, retryable=retryable, spent=progress.spent)


class _TryLaterError(Exception):
    """A failure that another try may mend, not before `after_s` seconds if that is given."""

    def __init__(self, reason: str, after_s: float | None) -> None:
        super().__init__(reason)
        self.after_s = after_s


def _retry_after_s(error: openai.APIStatusError) -> float | None:
    try:
        return max(0.0, float(error.response.headers.get("Retry-After", "")))
    except ValueError:
        return None


def teacher_for(settings: TeacherSettings, environment: Mapping[str, str]) -> Teacher:
    """The teacher that settings and environment name; without a key, the mock."""
    api_key = environment.get(KEY_VARIABLE, "").strip()
    if not api_key:
        return MockTeacher()
    return OpenAITeacher(settings.with_environment(environment), api_key, Prices.load())
