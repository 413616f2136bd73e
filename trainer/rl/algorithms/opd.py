"""On-policy distillation: a teacher grades each token of the policy's own answers.

    credit   A_t = −λ (log π(a_t) − log π_teacher(a_t)) + w · A_reward
    loss     Σ share · w_engine · max(−ρA, −clip(ρ) A)

In expectation over the policy's own tokens the first part is the gradient of the reverse KL to the
teacher, taken token by token. A_reward is GRPO's, where rewards are asked for.

Sources: Agarwal et al. 2023 (arXiv:2306.13649); Lu et al. 2025, "On-Policy Distillation".

Shapes: B completions, C completion tokens.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from trainer.recipes import OpdRecipe
from trainer.rl.algorithms import terms
from trainer.rl.algorithms.grpo import group_advantages, ratios
from trainer.rl.algorithms.streams import Credit, Drawn, Fixed, Now


@dataclass(frozen=True)
class Opd:
    """On-policy distillation with a recipe's numbers."""

    recipe: OpdRecipe

    def credit(self, drawn: Drawn) -> Credit:
        recipe = self.recipe
        assert drawn.teacher_BC is not None
        advantages_BC = -recipe.strength * (drawn.old_BC - drawn.teacher_BC)
        if recipe.reward_weight:
            by_reward_B = group_advantages(drawn.scores_B, drawn.groups_B, "group")
            advantages_BC = advantages_BC + recipe.reward_weight * by_reward_B.unsqueeze(1)
        return Credit(advantages_BC * drawn.learnt_BC)

    def loss(self, now: Now, fixed: Fixed) -> tuple[Tensor, dict[str, float]]:
        ratio_BC = ratios(now.logprobs_BC, fixed.old_BC, fixed.mask_BC, "token")
        surrogate_BC, held_BC = terms.clipped_surrogate(
            ratio_BC, fixed.advantages_BC, *self.recipe.clip_to
        )
        loss = (fixed.share_BC * fixed.weights_BC * surrogate_BC).sum()
        clipped = float((fixed.share_BC * held_BC).sum())
        return loss, {"policy_loss": float(loss.detach()), "clipped": clipped}

    def after_batch(self, kl: float, samples: int) -> None:
        """Nothing adapts."""

    def state(self) -> dict[str, float]:
        return {}

    def restore(self, state: dict[str, float]) -> None:
        """Nothing was kept."""
