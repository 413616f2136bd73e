"""Continued pretraining: next-token prediction on plain text, in full blocks.

    loss = −Σ_t log π(x_t | x_<t)

Documents are joined with an end token between them and cut into blocks of one length, so that no
token is padding. What is left at the end of a file is dropped, and counted in the log.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path

from transformers import PreTrainedTokenizerBase
from trl import SFTConfig, SFTTrainer

from galen.errors import InvalidInput
from trainer.data.example import Example
from trainer.recipes import PretrainRecipe
from trainer.stages import tuning
from trainer.stages.tuning import Parts, Rows, Stage

log = logging.getLogger(__name__)


def train(recipe: PretrainRecipe) -> Path:
    """Run or resume the stage; returns the folder of the finished model."""
    return tuning.train(STAGE, recipe)


def encode(recipe: PretrainRecipe, tokenizer: PreTrainedTokenizerBase, example: Example) -> Rows:
    """A document's tokens and the one that ends it."""
    ids = tokenizer(example.text, add_special_tokens=False)["input_ids"]
    return [{"input_ids": [*ids, tokenizer.eos_token_id]}]


def blocks(documents: Iterable[list[int]], size: int) -> Iterator[list[int]]:
    """All tokens in order, in blocks of `size`; the rest is left out."""
    block: list[int] = []
    for token in chain.from_iterable(documents):
        block.append(token)
        if len(block) == size:
            yield block
            block = []
    if block:
        log.info("%d tokens at the end fill no block of %d and are left out", len(block), size)


def _in_blocks(recipe: PretrainRecipe, documents: list[Rows]) -> list[Rows]:
    ids = (row["input_ids"] for rows in documents for row in rows)
    found = [[{"input_ids": block}] for block in blocks(ids, recipe.block)]
    if not found:
        raise InvalidInput(
            f"{', '.join(map(str, recipe.train))}: fewer than {recipe.block} tokens, not one "
            "block; add text or lower `block`"
        )
    return list(found)


def _trainer(recipe: PretrainRecipe, parts: Parts) -> SFTTrainer:
    return SFTTrainer(
        **parts.given(),
        args=SFTConfig(**parts.arguments, max_length=recipe.block),
    )


STAGE = Stage("document", encode, _trainer, combine=_in_blocks)
