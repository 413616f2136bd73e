"""Supervised fine-tuning with `trl.SFTTrainer`; the loss is over what the assistant writes.

Rows become token ids as the prompts of rollouts do, so training, rollouts and serving use the same
template.
"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from transformers import PreTrainedTokenizerBase
from trl import SFTConfig, SFTTrainer

from trainer.data import tokens
from trainer.data.example import Example
from trainer.recipes import SftRecipe
from trainer.stages import tuning
from trainer.stages.tuning import Parts, Rows, Stage


class PlainLossTrainer(SFTTrainer):
    """`SFTTrainer` with the model's own loss, the same figure.

    TRL's loss never holds the logits of all tokens, which a large vocabulary needs, and computes
    them twice instead. With a small one that is a third of a step on a CPU.
    """

    def compute_loss(
        self,
        model: torch.nn.Module,
        inputs: dict[str, Any],
        return_outputs: bool = False,
        num_items_in_batch: Any = None,
    ) -> Any:
        # Past TRL's to transformers' own, which also weighs the tokens of several processes.
        given = {**inputs, "use_cache": False}
        return super(SFTTrainer, self).compute_loss(
            model, given, return_outputs, num_items_in_batch
        )


def train(recipe: SftRecipe) -> Path:
    """Run or resume the stage; returns the folder of the finished model."""
    return tuning.train(STAGE, recipe)


def dataset(recipe: SftRecipe, tokenizer: PreTrainedTokenizerBase) -> Dataset:
    """The rows to learn from, as token ids with a completion mask."""
    return tuning.read(STAGE, recipe, tokenizer)[0]


def encode(recipe: SftRecipe, tokenizer: PreTrainedTokenizerBase, example: Example) -> Rows:
    """A conversation's sequences."""
    messages = example.messages if recipe.use_instruction else example.without_system
    encoded = list(tokens.encode(tokenizer, messages))
    length = max(len(each.input_ids) for each in encoded)
    if length > recipe.max_length:
        raise tuning.too_long(length, recipe.max_length)
    return [asdict(each) for each in encoded]


def _trainer(recipe: SftRecipe, parts: Parts) -> SFTTrainer:
    kind = PlainLossTrainer if recipe.demo_model else SFTTrainer
    return kind(
        **parts.given(),
        args=SFTConfig(
            **parts.arguments,
            max_length=recipe.max_length,
            packing=recipe.packing,
            completion_only_loss=True,
        ),
    )


STAGE = Stage("conversation", encode, _trainer)
