"""Group-relative policy optimisation: several answers to each prompt, no critic.

The arithmetic is in `trainer.rl.algorithms.grpo`, the loop in `trainer.rl`.
"""

from __future__ import annotations

from pathlib import Path

from trainer.recipes import GrpoRecipe
from trainer.rl import stage
from trainer.rl.algorithms.grpo import Grpo


def train(recipe: GrpoRecipe) -> Path:
    """Run or resume the stage; returns the folder of the finished model's dense weights."""
    return stage.train(recipe, Grpo(recipe))


def replay(recipe: GrpoRecipe, past: Path) -> Path:
    """Learn again from the rollouts of the run in `past`; returns the folder of the weights."""
    return stage.replay(recipe, Grpo(recipe), past)
