"""The arithmetic of PPO as pure tensor functions.

Shapes: B completions in a batch, C completion tokens (padded on the right). `mask_BC` is 1 on real
tokens and 0 on padding, float or bool; rows are real from column 0 on.
Log-probabilities are natural; KL is in nats.

Sources: generalised advantage estimation, Schulman et al. 2016 (arXiv:1506.02438); PPO, Schulman
et al. 2017 (arXiv:1707.06347); the KL penalty with its adaptive coefficient, Ziegler et al. 2019
(arXiv:1909.08593); truncated importance sampling, Ionides 2008.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


def masked_mean(values_BC: Tensor, mask_BC: Tensor) -> Tensor:
    """Mean over real tokens; 0 if there are none."""
    mask_BC = mask_BC.to(values_BC.dtype)
    return (values_BC * mask_BC).sum() / mask_BC.sum().clamp(min=1)


def whiten(values_BC: Tensor, mask_BC: Tensor) -> Tensor:
    """Zero mean and unit variance over real tokens; padding becomes 0."""
    mean = masked_mean(values_BC, mask_BC)
    variance = masked_mean((values_BC - mean) ** 2, mask_BC)
    return (values_BC - mean) * torch.rsqrt(variance + 1e-8) * mask_BC


def token_rewards(
    scores_B: Tensor,
    logprobs_BC: Tensor,
    reference_logprobs_BC: Tensor,
    mask_BC: Tensor,
    kl_coefficient: float,
) -> Tensor:
    """r_t = −β (log π(a_t) − log π_ref(a_t)), plus the score on the last real token."""
    rewards_BC = -kl_coefficient * (logprobs_BC - reference_logprobs_BC) * mask_BC
    last_B1 = (mask_BC.long().sum(dim=1, keepdim=True) - 1).clamp(min=0)
    return rewards_BC.scatter_add(1, last_B1, scores_B.to(rewards_BC.dtype).unsqueeze(1))


def gae(
    rewards_BC: Tensor, values_BC: Tensor, mask_BC: Tensor, gamma: float, lam: float
) -> tuple[Tensor, Tensor]:
    """Generalised advantage estimates and returns.

    δ_t = r_t + γ V_{t+1} − V_t,  A_t = δ_t + γλ A_{t+1},  returns R_t = A_t + V_t; beyond the last
    real token V and A are 0.
    """
    mask_BC = mask_BC.to(values_BC.dtype)
    values_BC = values_BC * mask_BC
    advantage_B = torch.zeros_like(values_BC[:, 0])
    next_value_B = torch.zeros_like(advantage_B)
    columns = []
    for t in reversed(range(values_BC.shape[1])):
        delta_B = rewards_BC[:, t] + gamma * next_value_B - values_BC[:, t]
        advantage_B = (delta_B + gamma * lam * advantage_B) * mask_BC[:, t]
        next_value_B = values_BC[:, t]
        columns.append(advantage_B)
    advantages_BC = torch.stack(columns[::-1], dim=1)
    return advantages_BC, advantages_BC + values_BC


def importance_weights(
    logprobs_BC: Tensor, engine_logprobs_BC: Tensor, mask_BC: Tensor, cap: float
) -> Tensor:
    """min(π_trainer / π_engine, cap) for each token, since the engine drew it."""
    ratio_BC = torch.exp((logprobs_BC - engine_logprobs_BC).clamp(-20, 20))
    return ratio_BC.clamp(max=cap) * mask_BC


def policy_loss(
    logprobs_BC: Tensor,
    old_logprobs_BC: Tensor,
    advantages_BC: Tensor,
    weights_BC: Tensor,
    mask_BC: Tensor,
    clip_range: float,
) -> tuple[Tensor, Tensor]:
    """PPO's clipped surrogate, −E[w · min(ρA, clip(ρ, 1±ε)A)], and the share of tokens clipped."""
    ratio_BC = torch.exp(logprobs_BC - old_logprobs_BC)
    plain_BC = -advantages_BC * ratio_BC
    clipped_BC = -advantages_BC * ratio_BC.clamp(1 - clip_range, 1 + clip_range)
    loss = masked_mean(torch.max(plain_BC, clipped_BC) * weights_BC, mask_BC)
    return loss, masked_mean((clipped_BC > plain_BC).float(), mask_BC)


def value_loss(
    values_BC: Tensor, old_values_BC: Tensor, returns_BC: Tensor, mask_BC: Tensor, clip_range: float
) -> Tensor:
    """½ E[max((V − R)², (V_clipped − R)²)], V_clipped within ±ε of the old value."""
    near_BC = old_values_BC + (values_BC - old_values_BC).clamp(-clip_range, clip_range)
    worst_BC = torch.max((values_BC - returns_BC) ** 2, (near_BC - returns_BC) ** 2)
    return 0.5 * masked_mean(worst_BC, mask_BC)


@dataclass(slots=True)
class AdaptiveKl:
    """Adapts the KL coefficient: β ← β (1 + clip(KL/target − 1, ±0.2) · n/horizon).

    `target` is in nats per completion, `horizon` in samples.
    """

    coefficient: float
    target: float
    horizon: int

    def update(self, kl: float, samples: int) -> None:
        """Adapt the coefficient to the mean `kl` (nats per completion) of `samples` samples."""
        error = min(max(kl / self.target - 1.0, -0.2), 0.2)
        self.coefficient *= 1.0 + error * samples / self.horizon
