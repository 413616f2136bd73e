"""Proximal policy optimisation with a critic.

    credit   A_t = Σ_k (γλ)^k δ_{t+k},  δ_t = r_t + γ V_{t+1} − V_t,  whitened over the batch
             r_t = −β KL_t, plus the score on the last token
    loss     Σ share · ( w · max(−ρA, −clip(ρ) A) + c_v · ½ max((V − R)², (V_clip − R)²) − c_e · H )

Sources: GAE, Schulman et al. 2016 (arXiv:1506.02438); PPO, Schulman et al. 2017 (arXiv:1707.06347);
the KL penalty with its adaptive coefficient, Ziegler et al. 2019 (arXiv:1909.08593); a λ of its own
for the value, VC-PPO (arXiv:2503.01491).

Shapes: B completions, C completion tokens.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from trainer.recipes import PpoRecipe
from trainer.rl.algorithms import terms
from trainer.rl.algorithms.streams import Credit, Drawn, Fixed, Now


def token_rewards(scores_B: Tensor, penalties_BC: Tensor, mask_BC: Tensor) -> Tensor:
    """r_t = −penalty_t, plus the score on the last real token."""
    last_B1 = (mask_BC.long().sum(dim=1, keepdim=True) - 1).clamp(min=0)
    scores_B1 = scores_B.to(penalties_BC.dtype).unsqueeze(1)
    return (-penalties_BC * mask_BC).scatter_add(1, last_B1, scores_B1)


def gae(
    rewards_BC: Tensor, values_BC: Tensor, mask_BC: Tensor, gamma: float, lam: float
) -> tuple[Tensor, Tensor]:
    """Generalised advantage estimates and returns.

    A_t = δ_t + γλ A_{t+1}, returns R_t = A_t + V_t; beyond the last real token V and A are 0.
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


def value_errors(
    values_BC: Tensor, old_values_BC: Tensor, returns_BC: Tensor, clip_range: float
) -> Tensor:
    """½ max((V − R)², (V_clip − R)²), V_clip within ±ε of the old value."""
    near_BC = old_values_BC + (values_BC - old_values_BC).clamp(-clip_range, clip_range)
    return 0.5 * torch.max((values_BC - returns_BC) ** 2, (near_BC - returns_BC) ** 2)


@dataclass(slots=True)
class AdaptiveKl:
    """Adapts the KL coefficient: β ← β (1 + clip(KL/target − 1, ±0.2) · n/horizon).

    `target` is in nats per completion, `horizon` in samples; without one β stays.
    """

    coefficient: float
    target: float
    horizon: int | None

    def update(self, kl: float, samples: int) -> None:
        """Adapt the coefficient to the mean `kl` (nats per completion) of `samples` samples."""
        if self.horizon is not None:
            error = min(max(kl / self.target - 1.0, -0.2), 0.2)
            self.coefficient *= 1.0 + error * samples / self.horizon


@dataclass
class Ppo:
    """PPO with a recipe's numbers."""

    recipe: PpoRecipe
    kl: AdaptiveKl = field(init=False)

    def __post_init__(self) -> None:
        kl = self.recipe.kl
        self.kl = AdaptiveKl(kl.coefficient, kl.target, kl.horizon)

    def credit(self, drawn: Drawn) -> Credit:
        recipe, mask_BC = self.recipe, drawn.mask_BC
        assert drawn.values_BC is not None
        penalties_BC = torch.zeros_like(drawn.old_BC)
        if drawn.reference_BC is not None:
            far_BC = terms.kl(drawn.old_BC, drawn.reference_BC, recipe.kl.estimator)
            penalties_BC = self.kl.coefficient * far_BC
        rewards_BC = token_rewards(drawn.scores_B, penalties_BC, mask_BC)
        given = (rewards_BC, drawn.values_BC, mask_BC, recipe.gamma)
        advantages_BC, returns_BC = gae(*given, recipe.lam)
        if recipe.value_lam is not None:
            _, returns_BC = gae(*given, recipe.value_lam)
        return Credit(terms.whiten(advantages_BC, drawn.learnt_BC), returns_BC)

    def loss(self, now: Now, fixed: Fixed) -> tuple[Tensor, dict[str, float]]:
        recipe = self.recipe
        assert now.values_BC is not None and fixed.old_values_BC is not None
        assert fixed.returns_BC is not None
        ratio_BC = torch.exp(now.logprobs_BC - fixed.old_BC)
        surrogate_BC, held_BC = terms.clipped_surrogate(
            ratio_BC, fixed.advantages_BC, *recipe.clip_to
        )
        errors_BC = value_errors(
            now.values_BC, fixed.old_values_BC, fixed.returns_BC, recipe.value_clip_range
        )
        share_BC = fixed.share_BC
        policy = (share_BC * fixed.weights_BC * surrogate_BC).sum()
        value = (share_BC * errors_BC).sum()
        entropy = (share_BC * now.entropy_BC).sum()
        loss = policy + recipe.value_coefficient * value - recipe.entropy_coefficient * entropy
        return loss, {
            "policy_loss": float(policy.detach()),
            "value_loss": float(value.detach()),
            "clipped": float((share_BC * held_BC).sum()),
        }

    def after_batch(self, kl: float, samples: int) -> None:
        self.kl.update(kl, samples)

    def state(self) -> dict[str, float]:
        return {"kl_coefficient": self.kl.coefficient}

    def restore(self, state: dict[str, float]) -> None:
        self.kl.coefficient = state["kl_coefficient"]
