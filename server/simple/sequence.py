"""One answer that is being written: how its tokens are sampled, its text, and when it ends.

Shapes: V the vocabulary.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from transformers import (
    DynamicCache,
    LogitsProcessorList,
    MinPLogitsWarper,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

from galen.errors import GalenError, UpstreamFailed
from server.simple.protocol import BadRequest, CompletionRequest, GenerationRequest
from server.simple.tokenizer import Tokenizer

GREEDY = 1e-5
"""Temperatures below this take the likeliest token."""


@dataclass(frozen=True, slots=True)
class Piece:
    """What one token adds to an answer; log-probabilities are natural."""

    text: str
    token: int
    logprob: float
    top_logprobs: dict[int, float]
    """Those of the likeliest tokens, the likeliest first."""
    finish_reason: str | None
    """`stop` or `length` in the last piece."""
    stop_reason: int | str | None


class Sequence:
    """`index` is its place among the answers to its request. `top` is how many of the likeliest
    tokens are reported with each token; None reports no log-probabilities."""

    def __init__(
        self,
        request: GenerationRequest,
        prompt_ids: list[int],
        tokenizer: Tokenizer,
        top: int | None = None,
        index: int = 0,
    ) -> None:
        self.request, self.prompt_ids, self.top, self.index = request, prompt_ids, top, index
        self.unread = prompt_ids
        """Tokens of the prompt that are not in the cache yet."""
        self.cache = DynamicCache()
        self.token_ids: list[int] = []
        self.prompt_logprobs: list[float] | None = None
        """Those of the prompt's tokens after the first, if asked for; filled while it is read."""
        if isinstance(request, CompletionRequest) and request.prompt_logprobs is not None:
            self.prompt_logprobs = []
        self.is_over = False
        asked = request.max_completion_tokens or request.max_tokens or tokenizer.most
        if asked > tokenizer.most:
            message = f"max_tokens: above the model's context of {tokenizer.most} tokens"
            raise BadRequest(message, param="max_tokens")
        self._most = min(asked, tokenizer.most - len(prompt_ids))
        self._ends = {*request.stop_token_ids, *(() if request.ignore_eos else tokenizer.end_ids)}
        self._decode, self._context, self._decoded = tokenizer.decode, 0, 0
        self._held = ""
        """Text that may turn out to be the beginning of a stop string."""
        self._warpers = _warpers(request)
        self._generator = torch.Generator()
        if request.seed == -1:
            self._generator.seed()
        else:  # Each choice has its own, else all n answers would be the same.
            self._generator.manual_seed((request.seed + index % request.n) % 2**63)

    @property
    def length(self) -> int:
        return len(self.prompt_ids) + len(self.token_ids)

    def write(self, logits_V: Tensor) -> Piece | GalenError:
        """Sample the next token; an error ends only this sequence."""
        logprobs_V = self._warpers(None, logits_V[None])[0].log_softmax(-1)
        if bool(logprobs_V.isnan().any()):
            self.is_over = True
            return UpstreamFailed("the model's output is NaN: broken weights or an overflow")
        if self.request.temperature < GREEDY:
            token = int(logprobs_V.argmax())
        else:
            token = int(torch.multinomial(logprobs_V.exp(), 1, generator=self._generator))
        self.token_ids.append(token)
        text, finish, reason = self._ending(token)
        self.is_over = finish is not None
        best = logprobs_V.topk(self.top or 0)
        likeliest = dict(zip(best.indices.tolist(), best.values.tolist(), strict=True))
        return Piece(text, token, float(logprobs_V[token]), likeliest, finish, reason)

    def _ending(self, token: int) -> tuple[str, str | None, int | str | None]:
        """The text that may be sent after this token, and whether and why the answer ends."""
        finish = "length" if len(self.token_ids) == self._most else None
        reason: int | str | None = None
        if token in self._ends:
            finish, reason = "stop", token if token in self.request.stop_token_ids else None
        self._held += self._new_text(finish)
        stop = next((stop for stop in self.request.stop if stop in self._held), None)
        if stop is not None:
            return self._held[: self._held.index(stop)], "stop", stop
        kept = 0 if finish else max(map(len, self.request.stop), default=1) - 1
        text = self._held[: max(0, len(self._held) - kept)]
        self._held = self._held[len(text) :]
        return text, finish, reason

    def _new_text(self, finish: str | None) -> str:
        """Text that the last token completes; a character waits until all its bytes are there.

        The token is decoded with the piece before it, since some tokenizers write a token
        differently at the beginning of a text. A token that ends the answer has no text.
        """
        end = len(self.token_ids) - (finish == "stop")
        before = self._decode(self.token_ids[self._context : self._decoded])
        text = self._decode(self.token_ids[self._context : end])[len(before) :]
        if text.endswith("\N{REPLACEMENT CHARACTER}") and not finish:
            return ""
        self._context, self._decoded = self._decoded, end
        return text


def _warpers(request: GenerationRequest) -> Any:
    """What changes the model's distribution, in the order in which vLLM applies it."""
    warpers = LogitsProcessorList()
    if request.temperature >= GREEDY and request.temperature != 1:
        warpers.append(TemperatureLogitsWarper(request.temperature))
    if request.min_p > 0:
        warpers.append(MinPLogitsWarper(request.min_p))
    if request.top_k > 0:
        warpers.append(TopKLogitsWarper(request.top_k))
    if request.top_p < 1:
        warpers.append(TopPLogitsWarper(request.top_p))
    return warpers
