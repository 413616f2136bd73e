"""On-policy distillation: a teacher grades each token of the policy's own answers.

The arithmetic is in `trainer.rl.algorithms.opd`, the loop in `trainer.rl`.
"""

from __future__ import annotations

from pathlib import Path

from trainer.recipes import OpdRecipe
from trainer.rl import stage
from trainer.rl.algorithms.opd import Opd


def train(recipe: OpdRecipe) -> Path:
    """Run or resume the stage; returns the folder of the finished model's dense weights."""
    return stage.train(recipe, Opd(recipe))


def replay(recipe: OpdRecipe, past: Path) -> Path:
    """Learn again from the rollouts of the run in `past`; returns the folder of the weights."""
    return stage.replay(recipe, Opd(recipe), past)
