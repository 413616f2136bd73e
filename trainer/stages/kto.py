"""Kahneman–Tversky optimisation with `trl.KTOTrainer`: single answers that were liked or not.

    loss = λ_y − v(x, y),  v = λ_D σ(β (r − z)) if liked, else λ_U σ(β (z − r)),  r = log π/π_ref

with z the KL estimate over mismatched answers of the batch (Ethayarajh et al., 2024). Votes
on single answers are such rows.
"""

from __future__ import annotations

from pathlib import Path

from transformers import PreTrainedTokenizerBase
from trl import KTOConfig, KTOTrainer

from trainer.data import tokens
from trainer.data.example import Example
from trainer.model import load_policy
from trainer.recipes import KtoRecipe
from trainer.stages import tuning
from trainer.stages.tuning import Parts, Rows, Stage


def train(recipe: KtoRecipe) -> Path:
    """Run or resume the stage; returns the folder of the finished model."""
    return tuning.train(STAGE, recipe)


def encode(recipe: KtoRecipe, tokenizer: PreTrainedTokenizerBase, example: Example) -> Rows:
    """The prompt and the answer as the template writes them, and the vote."""
    prompt, answer = tokens.answered(tokenizer, example.messages, example.completion or "")
    length = len(tokens.ids(tokenizer, prompt)) + len(tokens.ids(tokenizer, answer))
    if length > recipe.max_length:
        raise tuning.too_long(length, recipe.max_length)
    return [{"prompt": prompt, "completion": answer, "label": bool(example.liked)}]


def _trainer(recipe: KtoRecipe, parts: Parts) -> KTOTrainer:
    reference = None if recipe.lora else load_policy(recipe.model)
    return KTOTrainer(
        **parts.given(),
        ref_model=reference,
        args=KTOConfig(
            **parts.arguments,
            max_length=recipe.max_length,
            beta=recipe.beta,
            desirable_weight=recipe.liked_weight,
            undesirable_weight=recipe.disliked_weight,
        ),
    )


STAGE = Stage("unpaired", encode, _trainer)
