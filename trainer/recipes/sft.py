"""Supervised fine-tuning."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import model_validator

from trainer.recipes.models import DemoModel, ModelPath
from trainer.recipes.tuning import Tuning


class SftRecipe(Tuning):
    """Supervised fine-tuning (`trl.SFTTrainer`); only what the assistant writes is learnt."""

    stage: Literal["sft"]
    model: ModelPath | None = None
    """Folder of the model to start from; omitted if `demo_model` makes one."""
    demo_model: DemoModel | None = None
    use_instruction: bool = True
    """Whether a row's instruction becomes the system message."""
    packing: bool = False
    """Several rows in one sequence, each seeing only itself."""

    @model_validator(mode="after")
    def _one_model(self) -> Self:
        if (self.model is None) == (self.demo_model is None):
            raise ValueError("give exactly one of `model` and `demo_model`")
        if self.demo_model is not None and self.lora is not None:
            raise ValueError(
                "a demo model has no trained weights: set `lora: null` to train all of it"
            )
        return self
