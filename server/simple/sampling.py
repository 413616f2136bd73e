"""From logits to a token: pure functions of tensors, in the order in which vLLM applies them.

Shapes: V the vocabulary. All tensors are float32 on the CPU, so that a seed means the same token
on every device.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from server.simple.errors import BadRequest

GREEDY = 1e-5
"""Temperatures below this take the likeliest token."""


@dataclass(frozen=True, slots=True)
class Sampling:
    """How a token is drawn. The defaults leave the model's distribution as it is."""

    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0
    """0 or -1: all tokens."""
    min_p: float = 0.0
    repetition_penalty: float = 1.0
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    logit_bias: Mapping[int, float] = field(default_factory=dict)
    allowed: tuple[int, ...] | None = None
    """Only these tokens may be drawn."""

    @property
    def is_greedy(self) -> bool:
        return self.temperature < GREEDY


def processed_logprobs(
    logits_V: Tensor,
    sampling: Sampling,
    prompt_ids: Sequence[int],
    written_ids: Sequence[int],
    banned: Collection[int] = (),
) -> Tensor:
    """Log-probabilities that the next token is drawn from, natural log; -inf for what cannot come.

    `banned` are tokens that may not come yet, such as the end before `min_tokens`.
    """
    logits_V = allow_only(logits_V, sampling.allowed, banned)
    logits_V = bias(logits_V, sampling.logit_bias)
    logits_V = penalise(logits_V, sampling, prompt_ids, written_ids)
    if not sampling.is_greedy:
        logits_V = logits_V / sampling.temperature
        logits_V = keep_min_p(logits_V, sampling.min_p)
        logits_V = keep_top_k(logits_V, sampling.top_k)
        logits_V = keep_top_p(logits_V, sampling.top_p)
    return logits_V.log_softmax(-1)


def draw(logprobs_V: Tensor, sampling: Sampling, generator: torch.Generator) -> int:
    """One token, by its probability; the likeliest if the sampling is greedy.

    Raises `BadRequest` if there is none that may come.
    """
    if bool(logprobs_V.isnan().any()):
        raise BadRequest(
            "no token can come next: what the request allows leaves none, or its penalties (or the "
            "weights) are beyond what numbers hold"
        )
    if sampling.is_greedy:
        return int(logprobs_V.argmax())
    return int(torch.multinomial(logprobs_V.exp(), 1, generator=generator))


def allow_only(
    logits_V: Tensor, allowed: Collection[int] | None, banned: Collection[int]
) -> Tensor:
    """Rule out every token that is not among `allowed` or is among `banned`."""
    if allowed is not None:
        kept_V = torch.full_like(logits_V, -torch.inf)
        kept_V[list(allowed)] = logits_V[list(allowed)]
        logits_V = kept_V
    if banned:
        logits_V = logits_V.clone()
        logits_V[list(banned)] = -torch.inf
    return logits_V


def bias(logits_V: Tensor, logit_bias: Mapping[int, float]) -> Tensor:
    """Add to the logits of single tokens."""
    if not logit_bias:
        return logits_V
    biased_V = logits_V.clone()
    biased_V[list(logit_bias)] += torch.tensor(list(logit_bias.values()))
    return biased_V


def penalise(
    logits_V: Tensor, sampling: Sampling, prompt_ids: Sequence[int], written_ids: Sequence[int]
) -> Tensor:
    """Repetition counts prompt and answer; presence and frequency count the answer alone."""
    penalised_V = logits_V.clone()
    if sampling.repetition_penalty != 1.0 and (seen := sorted({*prompt_ids, *written_ids})):
        logits_S = penalised_V[seen]
        factor = sampling.repetition_penalty
        penalised_V[seen] = torch.where(logits_S > 0, logits_S / factor, logits_S * factor)
    if written_ids and (sampling.presence_penalty or sampling.frequency_penalty):
        counts = Counter(written_ids)
        counts_S = torch.tensor(list(counts.values()), dtype=torch.float32)
        penalised_V[list(counts)] -= (
            sampling.presence_penalty + sampling.frequency_penalty * counts_S
        )
    return penalised_V


def keep_min_p(logits_V: Tensor, min_p: float) -> Tensor:
    """Rule out tokens whose probability is below `min_p` times the likeliest one's."""
    if min_p <= 0:
        return logits_V
    probs_V = logits_V.softmax(-1)
    return logits_V.masked_fill(probs_V < min_p * probs_V.max(), -torch.inf)


def keep_top_k(logits_V: Tensor, top_k: int) -> Tensor:
    """Rule out all but the `top_k` likeliest tokens, and those that are as likely as the last."""
    if not 0 < top_k < len(logits_V):
        return logits_V
    least = logits_V.topk(top_k).values[-1]
    return logits_V.masked_fill(logits_V < least, -torch.inf)


def keep_top_p(logits_V: Tensor, top_p: float) -> Tensor:
    """Keep the fewest likeliest tokens whose probabilities reach `top_p` together."""
    if top_p >= 1:
        return logits_V
    ordered_V, order_V = logits_V.sort(descending=True, stable=True)
    probs_V = ordered_V.softmax(-1)
    # A token goes if those before it are enough already, which for the first they never are.
    surplus_V = probs_V.cumsum(-1) - probs_V >= top_p
    kept_V = logits_V.clone()
    kept_V[order_V[surplus_V]] = -torch.inf
    return kept_V
