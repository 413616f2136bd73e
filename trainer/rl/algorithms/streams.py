"""The streams of numbers that algorithms work on.

Shapes: B completions, C completion tokens (padded on the right). Log-probabilities are natural.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any, Literal

import torch
from torch import Tensor

Over = Literal["tokens", "sequences", "constant"]


@dataclass(frozen=True, slots=True)
class Drawn:
    """A judged batch before any update."""

    scores_B: Tensor
    """Rewards, penalties included."""
    groups_B: Tensor
    """The same number for answers to one prompt."""
    mask_BC: Tensor
    """1 on real tokens."""
    learnt_BC: Tensor
    """1 on real tokens that the loss is over."""
    old_BC: Tensor
    """log π of the policy that drew them, by the trainer."""
    reference_BC: Tensor | None = None
    values_BC: Tensor | None = None
    teacher_BC: Tensor | None = None


@dataclass(frozen=True, slots=True)
class Credit:
    advantages_BC: Tensor
    returns_BC: Tensor | None = None
    """What the critic should have said."""


@dataclass(frozen=True, slots=True)
class Now:
    """What the networks say of a mini-batch at this step."""

    logprobs_BC: Tensor
    entropy_BC: Tensor
    """Of the whole distribution at each token, in nats."""
    values_BC: Tensor | None = None


@dataclass(frozen=True, slots=True)
class Fixed:
    """What stays the same while a batch is learnt."""

    mask_BC: Tensor
    """1 on tokens that the loss is over."""
    share_BC: Tensor
    """Weight of each token in the mini-batch's mean."""
    old_BC: Tensor
    advantages_BC: Tensor
    weights_BC: Tensor
    """What corrects for the engine's arithmetic; 1 without a correction."""
    reference_BC: Tensor | None = None
    old_values_BC: Tensor | None = None
    returns_BC: Tensor | None = None

    def rows(self, index: Tensor, width: int) -> Fixed:
        """The rows in `index`, cut to `width` columns."""
        found: dict[str, Any] = {f.name: getattr(self, f.name) for f in fields(self)}
        cut: dict[str, Any] = {k: None if t is None else t[index, :width] for k, t in found.items()}
        return Fixed(**cut)


def shares(masks: Sequence[Tensor], over: Over, longest: int, totals: Tensor) -> list[Tensor]:
    """The weight of each token, for each mask (B, C) of a mini-batch's parts.

    With N tokens and S completions in the whole mini-batch, all parts and processes together:

        tokens     1/N                    every token counts alike    DAPO, arXiv:2503.14476
        sequences  1/(S · its length)     every completion does       GRPO, arXiv:2402.03300
        constant   1/(S · longest)        a sum, free of length bias  Dr. GRPO, arXiv:2503.20783

    `totals` are N and S. The loss is Σ share · l, so it does not depend on how parts are cut.
    """
    tokens, sequences = totals.clamp(min=1)
    if over == "tokens":
        return [mask_BC / tokens for mask_BC in masks]
    if over == "constant":
        return [mask_BC / (sequences * longest) for mask_BC in masks]
    return [m / (sequences * m.sum(dim=1, keepdim=True).clamp(min=1)) for m in masks]


def counted(mask_BC: Tensor) -> Tensor:
    """Tokens, and completions with at least one."""
    return torch.stack([mask_BC.sum(), mask_BC.any(dim=1).sum().to(mask_BC.dtype)])
