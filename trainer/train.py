"""The entry point of every stage. A stage's module, and torch with it, is imported only here."""

from __future__ import annotations

import importlib
import os
from pathlib import Path

from galen.errors import RecipeError
from trainer import processes
from trainer.recipes import CompareRecipe, Recipe, Tuning
from trainer.runs import finished, is_finished


def train(recipe: Recipe) -> Path:
    """Run the recipe's stage, or resume it if it was interrupted; returns its result's folder.

    A stage that has finished with the same data and model is not run again.
    """
    if processes.count() > 1 and not isinstance(recipe, Tuning):
        raise RecipeError(
            f"{recipe.stage}: runs in one process; start it without `accelerate launch`"
        )
    if is_finished(recipe) and not isinstance(recipe, CompareRecipe):
        done = finished(recipe.runs, recipe.run)
        return done.final or done.adapter or done.folder
    if recipe.cpu_threads:
        # By default a thread without work turns for a while on the core that others wait for.
        os.environ.setdefault("GOMP_SPINCOUNT", "1000")
        import torch

        torch.set_num_threads(recipe.cpu_threads)
    if isinstance(recipe, CompareRecipe):
        from trainer.evaluate import compare

        compare.compare_by_recipe(recipe)
        return recipe.folder
    stage = importlib.import_module(f"trainer.stages.{recipe.stage}")
    return Path(stage.train(recipe))
