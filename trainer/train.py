"""The entry point of every stage. A stage's module, and torch with it, is imported only here."""

from __future__ import annotations

import importlib
import os
import shutil
from pathlib import Path
from typing import Any

from galen import digest
from galen.errors import Conflict, NotFound, RecipeError
from trainer import processes
from trainer.recipes import CompareRecipe, Recipe, RlRecipe, Tuning
from trainer.runs import finished, is_finished


def replay(recipe: RlRecipe, name: str) -> tuple[Path, bool | None]:
    """Learn again from the rollouts that the run `name` stored, without any service.

    Returns the folder of the weights, and whether they are those of the run, byte for byte; None if
    it did not finish. The replay is a run of its own, `<name>-replay`, that begins anew each time.
    """
    _require_whole_weights(recipe)
    past = recipe.runs / name
    if not (past / "completions").is_dir():
        raise NotFound(f"{past}: holds no completions, so there is nothing to replay")
    again = recipe.model_copy(update={"run": f"{name}-replay"})
    if (again.folder / "completions").is_dir():
        raise Conflict(f"{again.folder}: has rollouts of its own, so it is no replay; rename it")
    if processes.is_first():
        shutil.rmtree(again.folder, ignore_errors=True)
    folder = Path(_stage(again).replay(again, past))
    final = past / "final"
    return folder, digest.of_folder(final) == digest.of_folder(folder) if final.is_dir() else None


def train(recipe: Recipe) -> Path:
    """Run the recipe's stage, or resume it if it was interrupted; returns its result's folder.

    A stage that has finished with the same data and model is not run again.
    """
    if processes.count() > 1 and not isinstance(recipe, Tuning | RlRecipe):
        raise RecipeError(
            f"{recipe.stage}: runs in one process; start it without `accelerate launch`"
        )
    if isinstance(recipe, RlRecipe):
        _require_whole_weights(recipe)
    if is_finished(recipe) and not isinstance(recipe, CompareRecipe):
        done = finished(recipe.runs, recipe.run)
        return done.final or done.adapter or done.folder
    if isinstance(recipe, CompareRecipe):
        _set_threads(recipe)
        from trainer.evaluate import compare

        compare.compare_by_recipe(recipe)
        return recipe.folder
    return Path(_stage(recipe).train(recipe))


def _require_whole_weights(recipe: RlRecipe) -> None:
    if processes.share_weights():
        raise RecipeError(
            f"{recipe.stage}: each process needs whole weights, since the first one writes the "
            "versions; start it with configs/accelerate/ddp-cpu.yaml or `--multi_gpu`"
        )


def _stage(recipe: Recipe | RlRecipe) -> Any:
    """The stage's module, with torch set up for it."""
    _set_threads(recipe)
    return importlib.import_module(f"trainer.stages.{recipe.stage}")


def _set_threads(recipe: Recipe | RlRecipe) -> None:
    if recipe.cpu_threads:
        # By default a thread without work turns for a while on the core that others wait for.
        os.environ.setdefault("GOMP_SPINCOUNT", "1000")
        import torch

        torch.set_num_threads(recipe.cpu_threads)
