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
    """What one token adds to an answer."""

    text: str
    token: int
    logprob: float
    finish_reason: str | None
    """`stop` or `length` in the last piece."""


class Sequence:
    """`index` is its place among the answers to its request."""

    def __init__(
        self,
        request: GenerationRequest,
        prompt_ids: list[int],
        tokenizer: Tokenizer,
        index: int = 0,
    ) -> None:
        self.request, self.prompt_ids, self.index = request, prompt_ids, index
        self.unread = prompt_ids
        """Tokens of the prompt that are not in the cache yet."""
        self.cache = DynamicCache()
        self.token_ids: list[int] = []
        of_text = request if isinstance(request, CompletionRequest) else None
        self.reports_logprobs = of_text is not None and of_text.logprobs is not None
        self.prompt_logprobs: list[float] | None = None
        """Those of the prompt's tokens after the first, if asked for; filled while it is read."""
        if of_text is not None and of_text.prompt_logprobs is not None:
            self.prompt_logprobs = []
        self.is_over = False
        asked = request.max_completion_tokens or request.max_tokens or tokenizer.most
        if asked > tokenizer.most:
            message = f"max_tokens: above the model's context of {tokenizer.most} tokens"
            raise BadRequest(message, param="max_tokens")
        self._most = min(asked, tokenizer.most - len(prompt_ids))
        self._ends = frozenset[int]() if request.ignore_eos else tokenizer.end_ids
        self._decode, self._context, self._decoded = tokenizer.decode, 0, 0
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
        finish_reason = "length" if len(self.token_ids) == self._most else None
        if token in self._ends:
            finish_reason = "stop"
        self.is_over = finish_reason is not None
        return Piece(self._new_text(), token, float(logprobs_V[token]), finish_reason)

    def _new_text(self) -> str:
        """Text that the last token completes; a character waits until all its bytes are there.

        The token is decoded with the piece before it, since some tokenizers write a token
        differently at the beginning of a text.
        """
        before = self._decode(self.token_ids[self._context : self._decoded])
        text = self._decode(self.token_ids[self._context :])[len(before) :]
        if text.endswith("\N{REPLACEMENT CHARACTER}") and not self.is_over:
            return ""
        self._context, self._decoded = self._decoded, len(self.token_ids)
        return text


def _warpers(request: GenerationRequest) -> Any:
    """What changes the model's distribution, in the order in which vLLM applies it."""
    warpers = LogitsProcessorList()
    if request.temperature >= GREEDY and request.temperature != 1:
        warpers.append(TemperatureLogitsWarper(request.temperature))
    if request.top_k > 0:
        warpers.append(TopKLogitsWarper(request.top_k))
    if request.top_p < 1:
        warpers.append(TopPLogitsWarper(request.top_p))
    return warpers
