"""Rollouts that a policy draws in the trainer's own process, with an exact reward.

Shapes: B completions, T tokens.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from transformers import PreTrainedTokenizerBase

from judge.schemas import ScoreResult
from server.schemas import TokenCompletion
from trainer.model import completion_logprobs, pack
from trainer.recipes import RlRecipe
from trainer.rl import records
from trainer.rl.rollout import Question, Rollout
from trainer.rl.rollouts.questions import prompts_of_batch

FORM = re.compile(r"\s*<think>.+?</think>\s*<answer>(.+?)</answer>\s*", re.DOTALL)


def exact(question: Question, text: str) -> float:
    """0.3 for the form and 0.7 for the right answer, as the judge's `finance` has it."""
    found = FORM.fullmatch(text)
    stated = found[1] if found else text.rpartition("</think>")[2]
    return 0.3 * bool(found) + 0.7 * (stated.strip() == question.row.gold)


@dataclass
class OwnRollouts:
    """A `RolloutSource`; `fate` turns a reward into what the trainer gets, None for a failure."""

    recipe: RlRecipe
    tokenizer: PreTrainedTokenizerBase
    questions: Sequence[Question]
    fate: Callable[[float, random.Random], float | None] = lambda reward, _: reward

    def draw(
        self, policy: nn.Module, batch: int, step: int
    ) -> tuple[list[Rollout], dict[str, Any]]:
        recipe, chance = self.recipe, random.Random(self.recipe.seed * 1_000_003 + batch)
        size = recipe.batch_size // recipe.generations
        questions = prompts_of_batch(self.questions, size, batch, recipe.seed)
        repeated = [question for question in questions for _ in range(recipe.generations)]
        rollouts = []
        for index, (question, ids, logprobs) in enumerate(self.sample(policy, repeated, batch)):
            text = self.tokenizer.decode(ids, skip_special_tokens=True)
            reward = self.fate(exact(question, text), chance)
            rollouts.append(self._rollout(index, question, ids, logprobs, text, reward))
        return [r for r in rollouts if r.is_judged], records.summary(rollouts, 0, len(rollouts))

    def mean_reward(self, policy: nn.Module, questions: Sequence[Question], seed: int) -> float:
        """Of one answer to each question, every one judged."""
        drawn = self.sample(policy, questions, seed)
        texts = [self.tokenizer.decode(ids, skip_special_tokens=True) for _, ids, _ in drawn]
        pairs = zip(questions, texts, strict=True)
        return sum(exact(question, text) for question, text in pairs) / len(texts)

    @torch.no_grad()
    def sample(
        self, policy: nn.Module, questions: Sequence[Question], seed: int
    ) -> list[tuple[Question, tuple[int, ...], tuple[float, ...]]]:
        """One completion of each question with its log-probabilities."""
        torch.manual_seed(self.recipe.seed * 1009 + seed)
        pad = int(self.tokenizer.pad_token_id)
        width = max(len(q.prompt_ids) for q in questions)
        ids_BT = torch.tensor(
            [[pad] * (width - len(q.prompt_ids)) + [*q.prompt_ids] for q in questions]
        )
        policy.eval()
        drawn_BT = policy.generate(  # type: ignore[operator]
            input_ids=ids_BT,
            attention_mask=(ids_BT != pad).long(),
            max_new_tokens=self.recipe.max_new_tokens,
            do_sample=True,
            temperature=self.recipe.temperature,
            top_k=0,
            top_p=1.0,
            pad_token_id=pad,
        )
        end = int(self.tokenizer.eos_token_id)
        rows = [_until(end, row) for row in drawn_BT[:, width:].tolist()]
        batch = pack([q.prompt_ids for q in questions], rows, pad)
        logprobs_BC = completion_logprobs(policy, batch, self.recipe.temperature).tolist()
        return [
            (question, tuple(ids), tuple(own[: len(ids)]))
            for question, ids, own in zip(questions, rows, logprobs_BC, strict=True)
        ]

    def _rollout(
        self,
        index: int,
        question: Question,
        ids: tuple[int, ...],
        logprobs: tuple[float, ...],
        text: str,
        reward: float | None,
    ) -> Rollout:
        has_ended = ids[-1] == self.tokenizer.eos_token_id
        completion = TokenCompletion(
            token_ids=ids,
            logprobs=logprobs,
            text=text,
            finish_reason="stop" if has_ended else "length",
            version="own",
        )
        result = ScoreResult(
            id=str(index),
            status="failed" if reward is None else "ok",
            reward=reward,
            rules=None,
            teacher=None,
            provider="exact",
            error=None,
        )
        group = index // self.recipe.generations
        return Rollout(str(index), question, completion, result, group, {"exact": reward})


def _until(end: int, ids: list[int]) -> list[int]:
    return ids[: ids.index(end) + 1] if end in ids else ids
