"""Recipes: YAML files as frozen models, fully checked before torch is imported.

The defaults are the mission's numbers; the demo's YAML files override them. One file a stage.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from galen.errors import RecipeError
from galen.settings import apply_overrides, read_yaml, validated
from trainer.recipes.compare import CompareRecipe
from trainer.recipes.data import DataRecipe
from trainer.recipes.grpo import GrpoRecipe
from trainer.recipes.models import DemoModel, Lora
from trainer.recipes.opd import OpdRecipe
from trainer.recipes.pipeline import PipelineRecipe, PipelineStage
from trainer.recipes.ppo import Critic, KlControl, PpoRecipe
from trainer.recipes.preference import DpoRecipe, KtoRecipe, OrpoRecipe
from trainer.recipes.pretrain import PretrainRecipe
from trainer.recipes.reward import RewardRecipe
from trainer.recipes.rl import Alarms, Correction, RewardModel, Rewards, RlRecipe
from trainer.recipes.run import RunSettings
from trainer.recipes.services import Services
from trainer.recipes.sft import SftRecipe
from trainer.recipes.tuning import Founding, Tuning

Tuned = PretrainRecipe | SftRecipe | RewardRecipe | DpoRecipe | OrpoRecipe | KtoRecipe
"""The stages that train on a file of examples."""
Recipe = Tuned | PpoRecipe | GrpoRecipe | OpdRecipe | CompareRecipe

STAGES: dict[str, type[Recipe]] = {
    "pretrain": PretrainRecipe,
    "sft": SftRecipe,
    "reward": RewardRecipe,
    "dpo": DpoRecipe,
    "orpo": OrpoRecipe,
    "kto": KtoRecipe,
    "ppo": PpoRecipe,
    "grpo": GrpoRecipe,
    "opd": OpdRecipe,
    "compare": CompareRecipe,
}

__all__ = [
    "STAGES",
    "Alarms",
    "CompareRecipe",
    "Correction",
    "Critic",
    "DataRecipe",
    "DemoModel",
    "DpoRecipe",
    "Founding",
    "GrpoRecipe",
    "KlControl",
    "KtoRecipe",
    "Lora",
    "OpdRecipe",
    "OrpoRecipe",
    "PipelineRecipe",
    "PipelineStage",
    "PpoRecipe",
    "PretrainRecipe",
    "Recipe",
    "RewardModel",
    "RewardRecipe",
    "Rewards",
    "RlRecipe",
    "RunSettings",
    "Services",
    "SftRecipe",
    "Tuned",
    "Tuning",
    "load",
    "load_data",
    "load_pipeline",
]


def load_data(path: Path, overrides: Sequence[str] = ()) -> DataRecipe:
    """Read a recipe of training sets. Raises `RecipeError` as `load` does."""
    return validated(DataRecipe, apply_overrides(read_yaml(path), overrides), str(path))


def load_pipeline(path: Path, overrides: Sequence[str] = ()) -> PipelineRecipe:
    """Read a pipeline file, but not the recipes that it names. Raises `RecipeError` as `load`."""
    fields = apply_overrides(read_yaml(path), overrides)
    if "stage" in fields:
        raise RecipeError(f"{path}: is the recipe of one stage: galen train {path}")
    return validated(PipelineRecipe, fields, str(path))


def load(path: Path, overrides: Sequence[str] = ()) -> Recipe:
    """Read a recipe and apply `field=value` overrides. Raises `RecipeError`, which names every
    wrong field."""
    fields = apply_overrides(read_yaml(path), overrides)
    stage = fields.get("stage")
    if stage == "data":
        raise RecipeError(f"{path}: makes training sets: galen data prepare {path}")
    if "pipeline" in fields:
        raise RecipeError(f"{path}: is a pipeline: galen run {path}")
    model = STAGES.get(stage) if isinstance(stage, str) else None
    if model is None:
        raise RecipeError(f"{path}: `stage` must be one of {', '.join(STAGES)}, found {stage!r}")
    return validated(model, fields, str(path))
