"""One sequence: its prompt is read, then one token is written a turn until something ends it.

Shapes: T tokens, V the vocabulary.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

import torch
from torch import Tensor

from galen.errors import GalenError
from server.simple.reasoning import ReasoningSplitter
from server.simple.sampling import Sampling, draw, processed_logprobs
from server.simple.stops import Detokenizer, StopStrings

CHUNK = 256
"""Tokens of a prompt that are read in one turn, so that a long one does not hold up the others."""

FinishReason = Literal["stop", "length"]


class Model(Protocol):
    def new_cache(self) -> Any: ...

    def logits(
        self, ids: Sequence[int], cache: Any, adapter: str | None, *, every: bool
    ) -> Tensor: ...


class Grammar(Protocol):
    """What an answer must look like; asked before each token and told each one."""

    def mask(self, logits_V: Tensor) -> Tensor: ...

    def accept(self, token: int) -> None: ...

    @property
    def is_over(self) -> bool: ...


@dataclass(frozen=True, slots=True)
class Likelihood:
    logprob: float
    """Natural log."""
    rank: int
    """1 for the likeliest token."""


Position = Mapping[int, Likelihood]
"""The token that stands at a position, then the likeliest ones, as many as were asked for."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What one sequence is to do."""

    prompt_ids: tuple[int, ...]
    max_tokens: int
    decode: Callable[[Sequence[int]], str]
    sampling: Sampling = field(default_factory=Sampling)
    adapter: str | None = None
    seed: int | None = None
    priority: int = 0
    """Lower goes first."""
    min_tokens: int = 0
    """Tokens before which nothing may end it."""
    end_ids: frozenset[int] = frozenset()
    """Tokens that end an answer by themselves."""
    stop_ids: frozenset[int] = frozenset()
    """Tokens that end this answer, and are told as the reason."""
    stops: tuple[str, ...] = ()
    include_stop: bool = False
    """Whether the text holds what ended it."""
    logprobs: int | None = None
    """How many of the likeliest tokens are told beside each that was drawn."""
    prompt_logprobs: int | None = None
    grammar: Callable[[], Grammar] | None = None
    thinking: bool = False
    """Whether the answer begins with a thought, which no grammar binds."""


@dataclass(frozen=True, slots=True)
class Piece:
    """What one turn adds to an answer."""

    index: int
    token_ids: tuple[int, ...] = ()
    text: str = ""
    logprobs: tuple[Position, ...] = ()
    prompt_logprobs: tuple[Position | None, ...] = ()
    """With the first piece alone."""
    finish_reason: FinishReason | None = None
    stop_reason: int | str | None = None


Deliver = Callable[[Piece | GalenError], None]


class Writer:
    """A sequence at work. `index` is its place among the answers of its request.

    `deliver` takes each piece; it is called in the worker's thread.
    """

    def __init__(self, index: int, plan: Plan, deliver: Deliver) -> None:
        self.index = index
        self.plan = plan
        self.deliver = deliver
        self.arrived = time.monotonic()
        self.has_begun = self.cancelled = False
        self._cache: Any = None
        self._read = 0
        """Tokens that are in the cache."""
        self._written: list[int] = []
        self._prompt_logprobs: list[Position | None] = [None]
        self._generator = torch.Generator()
        if plan.seed is None:
            self._generator.seed()
        else:
            self._generator.manual_seed(plan.seed)
        self._text = Detokenizer(plan.decode)
        self._stops = StopStrings(plan.stops, include=plan.include_stop)
        self._grammar = plan.grammar() if plan.grammar else None
        self._thought = ReasoningSplitter(thinking=plan.thinking)

    def step(self, model: Model) -> Piece | None:
        """Take one turn: read more of the prompt, or write a token. None while it only reads.

        Raises `BadRequest` if no token can come next.
        """
        plan = self.plan
        if self._cache is None:
            self._cache = model.new_cache()
        ids = plan.prompt_ids[self._read : self._read + CHUNK] or (self._written[-1],)
        is_prompt = self._read < len(plan.prompt_ids)
        every = is_prompt and plan.prompt_logprobs is not None
        logits_TV = model.logits(ids, self._cache, plan.adapter, every=every)
        if every:
            self._note_prompt(logits_TV)
        self._read += len(ids)
        if self._read < len(plan.prompt_ids):
            return None
        if plan.max_tokens == 0:
            return Piece(self.index, (), "", (), self._told_once(), "length")
        return self._write(logits_TV[-1])

    def _note_prompt(self, logits_TV: Tensor) -> None:
        """Log-probabilities of the prompt's own tokens, from the model as it is."""
        assert self.plan.prompt_logprobs is not None
        following = self.plan.prompt_ids[self._read + 1 : self._read + 1 + len(logits_TV)]
        logprobs_TV = logits_TV[: len(following)].log_softmax(-1)
        for logprobs_V, token in zip(logprobs_TV, following, strict=True):
            self._prompt_logprobs.append(position(logprobs_V, token, self.plan.prompt_logprobs))

    def _write(self, logits_V: Tensor) -> Piece:
        plan = self.plan
        if self._grammar and not self._thought.is_thinking:
            logits_V = self._grammar.mask(logits_V)
            bound: Grammar | None = self._grammar
        else:
            bound = None
        early = len(self._written) < plan.min_tokens
        banned = plan.end_ids | plan.stop_ids if early else ()
        logprobs_V = processed_logprobs(
            logits_V, plan.sampling, plan.prompt_ids, self._written, banned
        )
        token = draw(logprobs_V, plan.sampling, self._generator)
        self._written.append(token)
        if bound:
            bound.accept(token)
        told = () if plan.logprobs is None else (position(logprobs_V, token, plan.logprobs),)
        return self._piece(token, told, is_over=bool(bound and bound.is_over))

    def _piece(self, token: int, told: tuple[Position, ...], *, is_over: bool) -> Piece:
        plan = self.plan
        ended = token in plan.end_ids or token in plan.stop_ids
        reason: int | str | None = token if token in plan.stop_ids else None
        text = ""
        if not ended or plan.include_stop:
            new = self._text.feed(token)
            self._thought.feed(new)
            text = self._stops.feed(new, armed=len(self._written) > plan.min_tokens)
        finish: FinishReason | None = None
        if ended or is_over:
            finish = "stop"
        elif self._stops.found is not None:
            finish, reason = "stop", self._stops.found
        elif len(self._written) == plan.max_tokens:
            finish = "length"
        if finish and self._stops.found is None:
            text += self._stops.feed(self._text.finish()) + self._stops.finish()
        return Piece(self.index, (token,), text, told, self._told_once(), finish, reason)

    def _told_once(self) -> tuple[Position | None, ...]:
        if self.plan.prompt_logprobs is None or len(self._written) > 1:
            return ()
        return tuple(self._prompt_logprobs)


def position(logprobs_V: Tensor, token: int, top: int) -> Position:
    """The token's own log-probability and rank, then those of the `top` likeliest tokens."""
    own = logprobs_V[token]
    told = {token: Likelihood(float(own), int((logprobs_V > own).sum()) + 1)}
    best = logprobs_V.topk(top)
    for rank, (logprob, other) in enumerate(
        zip(best.values.tolist(), best.indices.tolist(), strict=True), 1
    ):
        told.setdefault(other, Likelihood(logprob, rank))
    return told
