"""Rewards from a trained reward model (stage `reward`), computed beside the policy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch
from transformers import PreTrainedTokenizerBase

from galen.errors import RecipeError
from trainer.model import load_scorer, load_tokenizer, pack
from trainer.recipes import RlRecipe
from trainer.rl.rollout import Rollout
from trainer.rl.scores import weighed

AT_ONCE = 16
"""Completions scored in one forward pass."""


class RewardModelScores:
    """The score at the last token of prompt and completion."""

    def __init__(self, folder: Path, tokenizer: PreTrainedTokenizerBase) -> None:
        """Raises `RecipeError` for a model whose tokens are not the policy's."""
        if load_tokenizer(folder).get_vocab() != tokenizer.get_vocab():
            raise RecipeError(
                f"{folder}: its tokenizer is not the policy's, so it would read other words than "
                "those written; train the reward model from the same base"
            )
        gpu = torch.cuda.is_available()
        self._model = load_scorer(folder).to("cuda" if gpu else "cpu").eval()
        self._pad = int(tokenizer.pad_token_id)

    @torch.no_grad()
    def score(self, rollouts: Sequence[Rollout]) -> list[float]:
        """One score for each rollout, in order."""
        found: list[float] = []
        for at in range(0, len(rollouts), AT_ONCE):
            some = rollouts[at : at + AT_ONCE]
            batch = pack(
                [r.question.prompt_ids for r in some],
                [r.completion.token_ids for r in some],
                self._pad,
            ).to(next(self._model.parameters()).device)
            logits = self._model(input_ids=batch.ids_BT, attention_mask=batch.attention_BT).logits
            found += logits.squeeze(-1).float().tolist()
        return found

    def added(self, rollouts: Sequence[Rollout], recipe: RlRecipe) -> list[Rollout]:
        """The rollouts with this model's score among their parts and in their reward."""
        judged = [r for r in rollouts if r.is_judged]
        scores = iter(self.score(judged))
        found = []
        for rollout in rollouts:
            if rollout.is_judged:
                parts = {**rollout.parts, "model": next(scores)}
                result = rollout.result.model_copy(
                    update={"reward": weighed(parts, recipe.rewards)}
                )
                rollout = replace(rollout, parts=parts, result=result)
            found.append(rollout)
        return found
