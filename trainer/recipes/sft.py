"""Supervised fine-tuning."""

from __future__ import annotations

from typing import Literal

from trainer.recipes.tuning import Founding


class SftRecipe(Founding):
    """Supervised fine-tuning (`trl.SFTTrainer`); only what the assistant writes is learnt."""

    stage: Literal["sft"]
    use_instruction: bool = True
    """Whether a row's instruction becomes the system message."""
    packing: bool = False
    """Several rows in one sequence, each seeing only itself."""
