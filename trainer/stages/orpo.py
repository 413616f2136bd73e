"""Odds-ratio preference optimisation: SFT on the better answer, without a reference model.

    loss = NLL(y_c) − λ log σ(log odds(y_c) − log odds(y_r)),  odds(y) = P(y) / (1 − P(y))

with P the mean-token probability (Hong et al., 2024). TRL keeps its trainer among the experimental
ones; nothing else here imports from there.

Shapes: B pairs, S = 2B sequences (the chosen answers first), T tokens.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

os.environ.setdefault("TRL_EXPERIMENTAL_SILENCE", "1")

from peft import PeftModel
from torch import Tensor, nn
from trl.experimental.orpo import ORPOConfig, ORPOTrainer
from trl.trainer.utils import add_fused_lm_head

from trainer.recipes import OrpoRecipe
from trainer.stages import tuning
from trainer.stages.dpo import encode
from trainer.stages.tuning import Parts, Stage


class ChunkedOrpoTrainer(ORPOTrainer):
    """`ORPOTrainer` that never holds a matrix of tokens × vocabulary.

    The NLL is over the answer alone, as in the paper; TRL's is over the prompt, too.
    """

    def concatenated_forward(self, model: nn.Module, batch: dict[str, Any]) -> tuple[Tensor, ...]:
        """Mean log π of chosen and rejected, both (B,), two unused logits, and the NLL."""
        both = self.concatenated_inputs(
            batch, padding_value=self.padding_value, device=self.accelerator.device
        )
        labels_ST = both["concatenated_labels"]
        logprobs_ST = model(
            both["concatenated_input_ids"],
            attention_mask=both["concatenated_attention_mask"],
            labels=labels_ST,
            fused_lm_head=True,
        ).log_probs
        tokens_S = (labels_ST[:, 1:] != -100).sum(-1)
        sums_S = logprobs_ST.sum(-1)
        pairs = len(labels_ST) // 2
        nll = -sums_S[:pairs].sum() / tokens_S[:pairs].sum()
        means_S = sums_S / tokens_S
        return means_S[:pairs], means_S[pairs:], nll, nll, nll

    def get_batch_loss_metrics(self, *args: Any, **kwargs: Any) -> tuple[Tensor, dict[str, float]]:
        loss, metrics = super().get_batch_loss_metrics(*args, **kwargs)
        return loss, {name: value for name, value in metrics.items() if "logits/" not in name}


def train(recipe: OrpoRecipe) -> Path:
    """Run or resume the stage; returns the folder of the finished model."""
    return tuning.train(STAGE, recipe)


def _trainer(recipe: OrpoRecipe, parts: Parts) -> ORPOTrainer:
    trainer = ChunkedOrpoTrainer(
        **parts.given(),
        args=ORPOConfig(**parts.arguments, max_length=recipe.max_length, beta=recipe.beta),
    )
    model = parts.model
    add_fused_lm_head(model.get_base_model() if isinstance(model, PeftModel) else model)
    return trainer


STAGE: Stage[OrpoRecipe] = Stage("preference", encode, _trainer)
