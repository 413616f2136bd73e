"""Proximal policy optimisation.

    maximise  E[ R(x, y) − β KL(π ‖ π_ref) ]

The arithmetic is in `trainer.rl.algorithms.ppo`, the loop in `trainer.rl`.
"""

from __future__ import annotations

from pathlib import Path

from trainer.recipes import PpoRecipe
from trainer.rl import stage
from trainer.rl.algorithms.ppo import Ppo


def train(recipe: PpoRecipe) -> Path:
    """Run or resume the stage; returns the folder of the finished model's dense weights."""
    return stage.train(recipe, Ppo(recipe))


def replay(recipe: PpoRecipe, past: Path) -> Path:
    """Learn again from the rollouts of the run in `past`; returns the folder of the weights."""
    return stage.replay(recipe, Ppo(recipe), past)
