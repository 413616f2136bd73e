"""How a model is asked: by token ids where the server can render a chat, else as a chat.

By token ids the completion is seen as it was written, tags and all, as training sees it. A server
or an endpoint that has no `/tokenize` is asked as a chat; its template is then unknown.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

from galen import digest, transcript
from galen.errors import GalenError, InvalidInput, UpstreamFailed
from galen.transcript import THINK_CLOSE, THINK_OPEN, Opening, Transcript
from server.client import PolicyClient
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
NOT_THERE = (404, 405, 501)
T = TypeVar("T")


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


class TokenAsker:
    """A model of a server that renders chats, such as ours on vLLM. Made by `connect`."""

    def __init__(self, client: PolicyClient, model: str, template: str, opening: Opening) -> None:
        self.template: str | None = template
        self._client, self._model, self._opening = client, model, opening
        self._letters: dict[str, int] = {}

    @classmethod
    async def connect(cls, client: PolicyClient, model: str) -> TokenAsker | None:
        """None for a server that renders no chats."""
        body = {"model": model, "messages": as_turns(PROBE)}
        try:
            ids = (await client.call("POST", "/tokenize", body=body))["tokens"]
            tail = {"model": model, "tokens": ids[-TAIL:]}
            prompt = (await client.call("POST", "/detokenize", body=tail))["prompt"]
        except GalenError as error:
            if error.status in NOT_THERE or isinstance(error, UpstreamFailed):
                return None
            raise
        return cls(client, model, digest.of_json(ids), transcript.opening_of(prompt))

    async def write(self, messages: Sequence[Message], sampling: Sampling) -> Written:
        async def attempt() -> Written:
            ids, longest = await self._rendered(messages)
            allowed = min(sampling.max_tokens, longest - len(ids))
            if allowed < 1:
                raise InvalidInput(f"the question has {len(ids)} tokens, the model takes {longest}")
            asked = sampling.model_copy(update={"max_tokens": allowed})
            started = time.monotonic()
            drawn = await self._client.complete_tokens(ids, asked, model=self._model)
            opened = self._opening is Opening.THOUGHT and not drawn.text.lstrip().startswith(
                THINK_OPEN
            )
            return Written(
                text=f"{THINK_OPEN}\n{drawn.text}" if opened else drawn.text,
                finish_reason=drawn.finish_reason,
                tokens=len(drawn.token_ids),
                allowed=allowed,
                model=drawn.version,
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
            for letter in set(letters) - self._letters.keys():
                self._letters[letter] = (await self._ids(letter))[0]
            own = [self._letters[letter] for letter in letters]
            body = {
                "model": self._model,
                "prompt": [*ids, *before],
                "max_tokens": 1,
                "temperature": 0.0,
                "logprobs": 1,
                "logprob_token_ids": own,
                "return_tokens_as_token_ids": True,
            }
            answer = await self._client.call("POST", "/v1/completions", body=body)
            try:
                found = answer["choices"][0]["logprobs"]["top_logprobs"][0]
                return {
                    letter: float(found[f"token_id:{token}"])
                    for letter, token in zip(letters, own, strict=True)
                }
            except (KeyError, IndexError, TypeError) as error:
                raise UpstreamFailed("the server gives no log-probabilities of letters") from error

        return await self._patiently(attempt)

    async def _patiently(self, attempt: Callable[[], Awaitable[T]]) -> T:
        try:
            return await patiently(self._client, attempt)
        except Away as away:
            raise away.reason from None
        except (InvalidInput, UpstreamFailed) as error:
            raise RowRefused(error.message) from None

    async def _rendered(self, messages: Sequence[Message]) -> tuple[list[int], int]:
        """The prompt's token ids, and the model's longest sequence."""
        body = {"model": self._model, "messages": as_turns(tuple(messages))}
        answer = await self._client.call("POST", "/tokenize", body=body)
        return list(answer["tokens"]), int(answer["max_model_len"])

    async def _ids(self, text: str) -> list[int]:
        body = {"model": self._model, "prompt": text, "add_special_tokens": False}
        return list((await self._client.call("POST", "/tokenize", body=body))["tokens"])


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
