"""The reward model: a language model with a score head, learnt from pairs (`trl.RewardTrainer`).

    loss = −log σ(r(x, y_chosen) − r(x, y_rejected))            Bradley and Terry, 1952

`final/` loads as `AutoModelForSequenceClassification` with one label, whose value at the last token
is the reward. Accuracy and margin on the rows left out are in the run's manifest.
"""

from __future__ import annotations

from pathlib import Path

from torch import nn
from transformers import PreTrainedTokenizerBase
from trl import RewardConfig, RewardTrainer

from trainer.data import tokens
from trainer.data.example import Example
from trainer.model import load_scorer
from trainer.recipes import RewardRecipe
from trainer.stages import tuning
from trainer.stages.tuning import Parts, Rows, Stage


def train(recipe: RewardRecipe) -> Path:
    """Run or resume the stage; returns the folder of the finished model."""
    return tuning.train(STAGE, recipe)


def encode(recipe: RewardRecipe, tokenizer: PreTrainedTokenizerBase, example: Example) -> Rows:
    """The prompt with each of its two answers."""
    row = {}
    for name, answer in (("chosen_ids", example.chosen), ("rejected_ids", example.rejected)):
        prompt, completion = tokens.answered(tokenizer, example.messages, answer or "")
        row[name] = tokens.ids(tokenizer, prompt) + tokens.ids(tokenizer, completion)
    length = max(map(len, row.values()))
    if length > recipe.max_length:
        raise tuning.too_long(length, recipe.max_length)
    return [row]


def _load(recipe: RewardRecipe, folder: Path) -> nn.Module:
    return load_scorer(folder, train_all=recipe.lora is None, bits=recipe.quantize)


def _trainer(recipe: RewardRecipe, parts: Parts) -> RewardTrainer:
    return RewardTrainer(
        **parts.given(),
        args=RewardConfig(
            **parts.arguments,
            max_length=recipe.max_length,
            center_rewards_coefficient=recipe.center,
        ),
    )


STAGE = Stage("preference", encode, _trainer, _load, task="SEQ_CLS")
