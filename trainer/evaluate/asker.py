"""How a model is asked: by token ids where the server can render a chat, else as a chat.

By token ids the completion is seen as it was written, tags and all, as training sees it. A server
or an endpoint that has no `/tokenize` is asked as a chat; its template is then unknown.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

from galen import digest, transcript
from galen.errors import (
    Conflict,
    GalenError,
    InvalidInput,
    NotFound,
    PayloadTooLarge,
    Unsupported,
    UpstreamFailed,
)
from galen.transcript import THINK_CLOSE, THINK_OPEN, Opening, Transcript
from server.client import ROLE_HEADER, PolicyClient
from server.schemas import Sampling
from trainer.data.distillation.teacher import RowRefused, Teacher
from trainer.data.example import Message
from trainer.data.formats.messages import as_turns
from trainer.patience import Away, patiently

PROBE = (
    Message("user", "头痛两天了，怎么办？"),
    Message("assistant", "可能的原因很多。多久了？"),
    Message("user", "Two days."),
)
"""A conversation whose token ids tell templates and tokenizers apart."""
BEFORE_LETTER = "答案："
TAIL = 48
"""Tokens of a prompt's end in which a thought may be opened."""
KEPT = 1024
"""Texts whose token ids are kept; the samples of a prompt are asked one after another."""
T = TypeVar("T")


class TooLong(RowRefused):
    """The row is too long for the model or the server, which says nothing of the other rows."""


@dataclass(frozen=True, slots=True)
class Written:
    """One completion. `text` begins with `<think>` where the template opened the thought."""

    text: str
    finish_reason: str | None
    tokens: int
    allowed: int
    """Most tokens that it might have had."""
    model: str
    seconds: float

    @property
    def transcript(self) -> Transcript:
        return transcript.parse(self.text, Opening.NOTHING)

    @property
    def is_cut_off(self) -> bool:
        return self.finish_reason == "length"

    @property
    def is_unanswered(self) -> bool:
        """Nothing for the reader: an empty answer, or a thought that never ended."""
        read = self.transcript
        return not read.closed or not read.answer


class Asker(Protocol):
    """One model. `template` is its chat template's fingerprint, None where it is unknown."""

    template: str | None

    async def write(self, messages: Sequence[Message], sampling: Sampling) -> Written:
        """Raises `RowRefused` for this question's own fault, else `GalenError`."""

    async def letters(
        self, messages: Sequence[Message], letters: Sequence[str]
    ) -> dict[str, float] | None:
        """Log-probability of each letter after 答案：, in nats; None where it cannot be asked."""


@dataclass(slots=True)
class _Tokenized:
    """`/tokenize`'s answer to one text, or None as long as nobody has it."""

    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    answer: Any = None


class TokenAsker:
    """A model of a server that renders chats, such as ours on vLLM. Made by `connect`."""

    def __init__(self, client: PolicyClient, model: str, template: str, opening: Opening) -> None:
        self.template: str | None = template
        self._client, self._model, self._opening = client, model, opening
        self._tokenized: dict[str, _Tokenized] = {}

    @classmethod
    async def connect(
        cls, client: PolicyClient, model: str, *, is_ours: bool = False
    ) -> TokenAsker | None:
        """None for a server that renders no chats.

        Elsewhere any failure of the probe means that. At our own server only its saying so does:
        its engine may just be away, and a chat would be another evaluation.
        """

        async def probe() -> tuple[list[int], str]:
            body = {"model": model, "messages": as_turns(PROBE)}
            try:
                ids = (await client.call("POST", "/tokenize", body=body))["tokens"]
                tail = {"model": model, "tokens": ids[-TAIL:]}
                prompt = (await client.call("POST", "/detokenize", body=tail))["prompt"]
            except (NotFound, Unsupported):
                return [], ""
            except (KeyError, TypeError) as error:
                raise UpstreamFailed(f"{client.base_url} tokenizes in an unknown shape") from error
            return ids, prompt

        try:
            ids, prompt = await (patiently(client, probe) if is_ours else probe())
        except Away as away:
            raise away.reason from None
        except GalenError:
            if is_ours:
                raise
            return None
        if not ids:
            return None
        return cls(client, model, digest.of_json(ids), transcript.opening_of(prompt))

    async def write(self, messages: Sequence[Message], sampling: Sampling) -> Written:
        async def attempt() -> Written:
            ids, longest = await self._rendered(messages)
            allowed = min(sampling.max_tokens, longest - len(ids))
            if allowed < 1:
                raise TooLong(f"the question has {len(ids)} tokens, the model takes {longest}")
            asked = sampling.model_copy(update={"max_tokens": allowed})
            started = time.monotonic()
            answer = await self._complete(ids, {"top_k": 0, **asked.model_dump(exclude_none=True)})
            try:
                text, reason = (answer["choices"][0][name] for name in ("text", "finish_reason"))
                tokens, wrote = int(answer["usage"]["completion_tokens"]), str(answer["model"])
            except (KeyError, IndexError, TypeError) as error:
                raise UpstreamFailed("the server completes in an unknown shape") from error
            opened = self._opening is Opening.THOUGHT and not text.lstrip().startswith(THINK_OPEN)
            return Written(
                text=f"{THINK_OPEN}\n{text}" if opened else text,
                finish_reason=reason,
                tokens=tokens,
                allowed=allowed,
                model=wrote.removeprefix("policy@"),
                seconds=time.monotonic() - started,
            )

        return await self._patiently(attempt)

    async def letters(
        self, messages: Sequence[Message], letters: Sequence[str]
    ) -> dict[str, float] | None:
        async def attempt() -> dict[str, float]:
            ids, _ = await self._rendered(messages)
            start = f"\n{THINK_CLOSE}\n\n" if self._opening is Opening.THOUGHT else ""
            before = await self._ids(start + BEFORE_LETTER)
            own = [(await self._ids(letter))[0] for letter in letters]
            if len(set(own)) < len(own):
                raise Conflict(
                    "the tokenizer begins several of an exam's letters with the same token, so "
                    "their log-probabilities say nothing; set by_logprob=false"
                )
            wanted = {
                "max_tokens": 1,
                "temperature": 0.0,
                "logprobs": 1,
                "logprob_token_ids": own,
                "return_tokens_as_token_ids": True,
            }
            answer = await self._complete([*ids, *before], wanted)
            try:
                found = answer["choices"][0]["logprobs"]["top_logprobs"][0]
                return {
                    letter: float(found[f"token_id:{token}"])
                    for letter, token in zip(letters, own, strict=True)
                }
            except (KeyError, IndexError, TypeError):
                raise RowRefused("the server gives no log-probabilities of letters") from None

        return await self._patiently(attempt)

    async def _patiently(self, attempt: Callable[[], Awaitable[T]]) -> T:
        """What `attempt` gives. An error that others do not meet, or not any more, is the row's."""
        try:
            return await patiently(self._client, attempt)
        except Away as away:
            raise away.reason from None
        except PayloadTooLarge as error:
            raise TooLong(error.message) from None
        except GalenError as error:
            if error.retryable or isinstance(error, (InvalidInput, UpstreamFailed)):
                raise RowRefused(error.message) from None
            raise

    async def _complete(self, ids: Sequence[int], wanted: dict[str, Any]) -> Any:
        """As a rollout, so that people's requests go first."""
        body = {"model": self._model, "prompt": list(ids), **wanted}
        headers = {ROLE_HEADER: "rollout"}
        return await self._client.call("POST", "/v1/completions", body=body, headers=headers)

    async def _rendered(self, messages: Sequence[Message]) -> tuple[list[int], int]:
        """The prompt's token ids, and the model's longest sequence."""
        answer = await self._tokenize({"messages": as_turns(tuple(messages))})
        return list(answer["tokens"]), int(answer["max_model_len"])

    async def _ids(self, text: str) -> list[int]:
        return list((await self._tokenize({"prompt": text, "add_special_tokens": False}))["tokens"])

    async def _tokenize(self, what: dict[str, Any]) -> Any:
        """`/tokenize`'s answer, asked for once however many want it at once."""
        name = digest.of_json(what)
        kept = self._tokenized.setdefault(name, _Tokenized())
        if len(self._tokenized) > KEPT:
            del self._tokenized[next(iter(self._tokenized))]
        async with kept.lock:
            if kept.answer is None:
                body = {"model": self._model, **what}
                kept.answer = await self._client.call("POST", "/tokenize", body=body)
        return kept.answer


class ChatAsker:
    """A model of any OpenAI-compatible endpoint."""

    template: str | None = None

    def __init__(self, teacher: Teacher) -> None:
        self._teacher = teacher

    async def write(self, messages: Sequence[Message], sampling: Sampling) -> Written:
        started = time.monotonic()
        options = sampling.model_dump(exclude_none=True)
        reply = await self._teacher.ask(messages, options)
        return Written(
            text=reply.text,
            finish_reason=reply.finish_reason,
            tokens=reply.usage.completion,
            allowed=sampling.max_tokens,
            model=reply.model,
            seconds=time.monotonic() - started,
        )

    async def letters(
        self, messages: Sequence[Message], letters: Sequence[str]
    ) -> dict[str, float] | None:
        return None
