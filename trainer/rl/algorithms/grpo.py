"""Group-relative policy optimisation: no critic, the baseline is a prompt's other answers.

    credit   A = (R − mean of the group) / deviation, the same for every token
    loss     Σ share · ( w · max(−ρA, −clip(ρ) A) + β k3(π ‖ π_ref) − c_e · H )

Sources: GRPO, Shao et al. 2024 (arXiv:2402.03300); Dr. GRPO (arXiv:2503.20783) divides by no
deviation; REINFORCE++-baseline (arXiv:2501.03262) by the batch's; GSPO (arXiv:2507.18071) takes the
geometric mean of a completion's ratios; CISPO (arXiv:2506.13585) weighs log π by the clipped ratio,
so that no token loses its gradient.

Shapes: B completions, C completion tokens.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from trainer.recipes import GrpoRecipe
from trainer.rl.algorithms import terms
from trainer.rl.algorithms.streams import Credit, Drawn, Fixed, Now

EPSILON = 1e-4
"""Added to a deviation, so that rewards that differ by rounding alone are not blown up."""


def group_advantages(
    scores_B: Tensor, groups_B: Tensor, normalise: Literal["group", "batch", "none"]
) -> Tensor:
    """(R − mean of its group) / (deviation + ε); 0 for an answer that is alone in its group.

    `batch` takes the deviation of the differences over the batch. Deviations are unbiased (n − 1).
    """
    advantages_B, deviations_B = torch.zeros_like(scores_B), torch.ones_like(scores_B)
    together_B = torch.zeros_like(scores_B, dtype=torch.bool)
    for group in sorted(set(groups_B.tolist())):
        rows_B = groups_B == group
        if rows_B.sum() > 1:
            together_B |= rows_B
            advantages_B[rows_B] = scores_B[rows_B] - scores_B[rows_B].mean()
            deviations_B[rows_B] = scores_B[rows_B].std()
    if normalise == "group":
        return advantages_B / (deviations_B + EPSILON)
    if normalise == "batch" and together_B.any():
        return advantages_B / (advantages_B[together_B].std() + EPSILON)
    return advantages_B


def ratios(
    logprobs_BC: Tensor, old_BC: Tensor, mask_BC: Tensor, level: Literal["token", "sequence"]
) -> Tensor:
    """π/π_old of each token, (B, C), or its geometric mean over each completion, (B, 1)."""
    gap_BC = (logprobs_BC - old_BC) * mask_BC
    if level == "token":
        return gap_BC.exp()
    return (gap_BC.sum(dim=1, keepdim=True) / mask_BC.sum(dim=1, keepdim=True).clamp(min=1)).exp()


@dataclass(frozen=True)
class Grpo:
    """GRPO, or a relative of it, with a recipe's numbers."""

    recipe: GrpoRecipe

    def credit(self, drawn: Drawn) -> Credit:
        advantages_B = group_advantages(drawn.scores_B, drawn.groups_B, self.recipe.normalise)
        return Credit(advantages_B.unsqueeze(1) * drawn.learnt_BC)

    def loss(self, now: Now, fixed: Fixed) -> tuple[Tensor, dict[str, float]]:
        recipe = self.recipe
        low, high = recipe.clip_to
        ratio_BC = ratios(now.logprobs_BC, fixed.old_BC, fixed.mask_BC, recipe.ratio)
        if recipe.surrogate == "cispo":
            capped_BC = ratio_BC.clamp(max=high).detach()
            surrogate_BC = -capped_BC * fixed.advantages_BC * now.logprobs_BC
            held_BC = (ratio_BC > high).float()
        else:
            surrogate_BC, held_BC = terms.clipped_surrogate(
                ratio_BC, fixed.advantages_BC, low, high
            )
        share_BC = fixed.share_BC
        policy = (share_BC * fixed.weights_BC * surrogate_BC).sum()
        loss = policy
        figures = {"policy_loss": policy.detach(), "clipped": (share_BC * held_BC).sum()}
        if fixed.reference_BC is not None:
            far_BC = terms.kl(now.logprobs_BC, fixed.reference_BC, "k3")
            distance = (share_BC * far_BC).sum()
            loss = loss + recipe.beta * distance
            figures["kl_loss"] = distance.detach()
        if recipe.entropy_coefficient:
            loss = loss - recipe.entropy_coefficient * (share_BC * now.entropy_BC).sum()
        return loss, {name: float(value) for name, value in figures.items()}

    def after_batch(self, kl: float, samples: int) -> None:
        """Nothing adapts."""

    def state(self) -> dict[str, float]:
        return {}

    def restore(self, state: dict[str, float]) -> None:
        """Nothing was kept."""
