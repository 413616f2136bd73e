"""Odds-ratio preference optimisation: SFT on the better answer, without a reference model.

    loss = NLL(y_c) − λ log σ(log odds(y_c) − log odds(y_r)),  odds(y) = P(y) / (1 − P(y))

with P the mean-token probability (Hong et al., 2024). TRL keeps its trainer among the experimental
ones; nothing else here imports from there.
"""

from __future__ import annotations

import os
from pathlib import Path

os.environ.setdefault("TRL_EXPERIMENTAL_SILENCE", "1")

from trl.experimental.orpo import ORPOConfig, ORPOTrainer

from trainer.recipes import OrpoRecipe
from trainer.stages import tuning
from trainer.stages.dpo import encode
from trainer.stages.tuning import Parts, Stage


def train(recipe: OrpoRecipe) -> Path:
    """Run or resume the stage; returns the folder of the finished model."""
    return tuning.train(STAGE, recipe)


def _trainer(recipe: OrpoRecipe, parts: Parts) -> ORPOTrainer:
    return ORPOTrainer(
        **parts.given(),
        args=ORPOConfig(**parts.arguments, max_length=recipe.max_length, beta=recipe.beta),
    )


STAGE: Stage[OrpoRecipe] = Stage("preference", encode, _trainer)
