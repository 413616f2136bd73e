"""Terms that several algorithms share, as pure tensor functions.

Shapes: B completions, C completion tokens (padded on the right). `mask_BC` is 1 on real tokens and
0 on padding, float or bool; rows are real from column 0 on. Log-probabilities are natural; KL is in
nats.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

FARTHEST = 20.0
"""Bound of a log-ratio, so that no exponential overflows."""


def masked_mean(values_BC: Tensor, mask_BC: Tensor) -> Tensor:
    """Mean over real tokens; 0 if there are none."""
    mask_BC = mask_BC.to(values_BC.dtype)
    return (values_BC * mask_BC).sum() / mask_BC.sum().clamp(min=1)


def whiten(values_BC: Tensor, mask_BC: Tensor) -> Tensor:
    """Zero mean and unit variance over real tokens; padding becomes 0."""
    mean = masked_mean(values_BC, mask_BC)
    variance = masked_mean((values_BC - mean) ** 2, mask_BC)
    return (values_BC - mean) * torch.rsqrt(variance + 1e-8) * mask_BC


def kl(logprobs_BC: Tensor, reference_BC: Tensor, estimator: Literal["k1", "k3"] = "k1") -> Tensor:
    """KL(π ‖ π_ref) at tokens that π drew, by Schulman's estimators (2020, "Approximating KL").

    k1 = log π − log π_ref, unbiased; k3 = π_ref/π − 1 − log(π_ref/π), unbiased, never negative.
    """
    gap_BC = reference_BC - logprobs_BC
    if estimator == "k1":
        return -gap_BC
    gap_BC = gap_BC.clamp(-FARTHEST, FARTHEST)
    return gap_BC.exp() - 1 - gap_BC


def clipped_surrogate(
    ratio_BC: Tensor, advantages_BC: Tensor, low: float, high: float
) -> tuple[Tensor, Tensor]:
    """−min(ρA, clip(ρ, low, high) A), and where the clip holds the gradient back.

    PPO, Schulman et al. 2017 (arXiv:1707.06347); apart bounds are DAPO's clip-higher.
    """
    plain_BC = -advantages_BC * ratio_BC
    clipped_BC = -advantages_BC * ratio_BC.clamp(low, high)
    return torch.max(plain_BC, clipped_BC), (clipped_BC > plain_BC).float()
