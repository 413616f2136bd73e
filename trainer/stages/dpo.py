"""Direct preference optimisation with `trl.DPOTrainer`.

    loss = −log σ(β [log π(y_c)/π_ref(y_c) − log π(y_r)/π_ref(y_r)])        Rafailov et al., 2023

Under LoRA the reference is the base without the adapter; else it is a copy of the start.
"""

from __future__ import annotations

from pathlib import Path

from transformers import PreTrainedTokenizerBase
from trl import DPOConfig, DPOTrainer

from trainer.data import tokens
from trainer.data.example import Example
from trainer.model import load_policy
from trainer.recipes import DpoRecipe
from trainer.recipes.tuning import Tuning
from trainer.stages import tuning
from trainer.stages.tuning import Parts, Rows, Stage


def train(recipe: DpoRecipe) -> Path:
    """Run or resume the stage; returns the folder of the finished model."""
    return tuning.train(STAGE, recipe)


def encode(recipe: Tuning, tokenizer: PreTrainedTokenizerBase, example: Example) -> Rows:
    """The prompt and both answers as the template writes them."""
    prompt, chosen = tokens.answered(tokenizer, example.messages, example.chosen or "")
    _, rejected = tokens.answered(tokenizer, example.messages, example.rejected or "")
    longer = max(len(tokens.ids(tokenizer, each)) for each in (chosen, rejected))
    length = len(tokens.ids(tokenizer, prompt)) + longer
    if length > recipe.max_length:
        raise tuning.too_long(length, recipe.max_length)
    return [{"prompt": prompt, "chosen": chosen, "rejected": rejected}]


def _trainer(recipe: DpoRecipe, parts: Parts) -> DPOTrainer:
    reference = None if recipe.lora else load_policy(recipe.model)
    return DPOTrainer(
        **parts.given(),
        ref_model=reference,
        args=DPOConfig(
            **parts.arguments,
            max_length=recipe.max_length,
            beta=recipe.beta,
            loss_type=[recipe.loss],
            label_smoothing=recipe.label_smoothing,
        ),
    )


STAGE = Stage("preference", encode, _trainer)
