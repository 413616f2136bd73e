"""The questions of a run, and those of each batch."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path

from transformers import PreTrainedTokenizerBase

from trainer.data import tokens
from trainer.data.prompts import read_prompts
from trainer.rl.rollout import Question


def load_questions(
    files: Sequence[Path], tokenizer: PreTrainedTokenizerBase, use_instruction: bool
) -> list[Question]:
    """All prompts of the files with their token ids."""
    return [
        Question(
            prompt.row,
            tuple(
                tokens.prompt_ids(
                    tokenizer, prompt.messages if use_instruction else prompt.without_system
                )
            ),
        )
        for prompt in read_prompts(files)
    ]


def prompts_of_batch(
    questions: Sequence[Question], size: int, batch: int, seed: int
) -> list[Question]:
    """The questions of one batch: a new shuffle for each epoch, the same after a resume."""
    chosen = []
    for position in range(batch * size, (batch + 1) * size):
        epoch, index = divmod(position, len(questions))
        order = list(range(len(questions)))
        random.Random(seed * 1_000_003 + epoch).shuffle(order)
        chosen.append(questions[order[index]])
    return chosen
