"""What must hold before the first step; else the run would cost a night and teach nothing."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from statistics import fmean, pstdev

import torch
from transformers import PreTrainedTokenizerBase

from galen.errors import RecipeError, TrainingStopped
from galen.transcript import THINK_CLOSE, THINK_OPEN
from server.schemas import TokenCompletion
from trainer import processes
from trainer.recipes import GrpoRecipe, RlRecipe
from trainer.rl import batch as batches
from trainer.rl import records
from trainer.rl.actor_critic import ActorCritic
from trainer.rl.algorithms import Algorithm
from trainer.rl.reward_model import RewardModelScores
from trainer.rl.rewards import Scorer, failed
from trainer.rl.rollout import Question, Rollout

ROWS = 4
"""Questions whose right answer is spoilt in each way."""
ENOUGH = 8
"""Judged completions of which at least two must differ in their reward."""


def answers_of(gold: str, other: str, seed: int) -> dict[str, str]:
    """A right answer and what is made of it: each of the others is worth less."""
    letters = list(gold)
    random.Random(seed).shuffle(letters)
    # Marks on both sides: behind a choice's one letter, or before a number, they change nothing.
    garbled = f"□□{''.join(letters)[::-1]}□□"
    return {
        "right": _rendered(gold),
        "another question's": _rendered(other),
        "garbled": _rendered(garbled),
        "empty": "",
    }


async def known_answers(
    questions: Sequence[Question], scorer: Scorer, tokenizer: PreTrainedTokenizerBase
) -> dict[str, list[Rollout]]:
    """Right and spoilt answers to the first questions that have a right one, judged."""
    known = [question for question in questions if question.row.gold]
    found: dict[str, list[Rollout]] = {}
    for index, question in enumerate(known[:ROWS]):
        others = [q.row.gold for q in known if q.row.gold != question.row.gold]
        if not others:
            return {}
        answers = answers_of(str(question.row.gold), str(others[index % len(others)]), index)
        for kind, text in answers.items():
            item_id = f"{scorer.run}-preflight-{index}-{kind.partition(' ')[0]}"
            result, parts = await scorer.score(question.row, item_id, text, 0)
            ids = tuple(
                tokenizer(text + str(tokenizer.eos_token), add_special_tokens=False).input_ids
            )
            completion = TokenCompletion(
                token_ids=ids,
                logprobs=(0.0,) * len(ids),
                text=text,
                finish_reason="stop",
                version="preflight",
            )
            rollout = Rollout(item_id, question, completion, result, index, parts)
            found.setdefault(kind, []).append(rollout)
    return found


def require_difference(
    judged: dict[str, list[Rollout]], reward_model: RewardModelScores | None, recipe: RlRecipe
) -> str:
    """The table of mean rewards by kind of answer; "" if no question has a right answer.

    Each has a reward. Raises `TrainingStopped` with the table if some spoilt kind is worth as much
    as the right one.
    """
    if not judged:
        return ""
    means: dict[str, float] = {}
    for kind, rollouts in judged.items():
        scored = reward_model.added(rollouts, recipe) if reward_model else rollouts
        means[kind] = fmean(r.result.reward for r in scored if r.result.reward is not None)
    rows = "\n".join(f"  {kind:<20} {mean:+.3f}" for kind, mean in means.items())
    table = f"mean reward of {ROWS} known answers at most:\n{rows}"
    right = means.pop("right")
    if any(mean >= right for mean in means.values()):
        raise TrainingStopped(
            f"the rewards do not tell right answers from spoilt ones, so nothing could be learnt\n"
            f"{table}\ncorrect `rewards` or the rubric, or skip this with `preflight: false`"
        )
    return table


def require_spread(judged: Sequence[Rollout], recipe: RlRecipe) -> None:
    """Raises `TrainingStopped` if all completions of the first batch earned the same, or, where a
    prompt's answers are compared with each other, all answers to each prompt."""
    rewards = [r.result.reward for r in judged if r.result.reward is not None]
    if len(rewards) < ENOUGH:
        return
    several = {group for group, n in Counter(r.group for r in judged).items() if n > 1}
    if pstdev(rewards) == 0:
        found = (
            f"all {len(rewards)} completions of the first batch have the reward {rewards[0]:+.3f}"
        )
    elif isinstance(recipe, GrpoRecipe) and records.flat_groups(judged) == several:
        found = f"the answers to each of the first batch's {len(several)} prompts have one reward"
    else:
        return
    raise TrainingStopped(
        f"{found}, so nothing could be learnt: train the policy further by SFT, choose other "
        "prompts or another reward, or skip this with `preflight: false`"
    )


def require_room(
    model: ActorCritic,
    recipe: RlRecipe,
    algorithm: Algorithm,
    questions: Sequence[Question],
    pad: int,
) -> None:
    """Compute the longest part of a mini-batch that can come, forward and backward.

    Raises `RecipeError` if it does not fit in memory. No weight changes.
    """
    longest = max(questions, key=lambda question: len(question.prompt_ids))
    length = recipe.max_new_tokens
    completion = TokenCompletion(
        token_ids=(longest.prompt_ids[0],) * length,
        logprobs=(0.0,) * length,
        text="",
        finish_reason="stop",
        version="preflight",
    )
    result = failed("preflight", "none", "").model_copy(update={"reward": 0.0})
    parts = {"judge": 0.0, "exact": 0.0, "model": 0.0}
    size = min(recipe.micro_batch_size or recipe.mini_batch_size, recipe.mini_batch_size)
    rows = min(size * processes.count(), recipe.mini_batch_size)
    one = Rollout("preflight", longest, completion, result, 0, parts, completion.logprobs)
    rollouts = [one] * rows
    trained = [p for p in model.parameters() if p.requires_grad]
    try:
        moments = [torch.empty_like(p) for p in trained for _ in range(2)]  # AdamW's
        batch = batches.build(rollouts, model, recipe, algorithm, pad)
        batch = replace(batch, teaches_B=torch.ones(rows, dtype=torch.bool))
        for part in batch.parts(torch.arange(rows), size, recipe):
            loss, _ = algorithm.loss(model(part.sequences, recipe.temperature), part.fixed)
            loss.backward()  # type: ignore[no-untyped-call]
        del moments
    except (MemoryError, RuntimeError) as error:
        if not isinstance(error, MemoryError) and "memory" not in str(error).lower():
            raise
        tokens = len(longest.prompt_ids) + length
        raise RecipeError(
            f"{size} completions of {tokens} tokens do not fit in memory: lower `micro_batch_size` "
            "or `max_new_tokens`, or leave out longer prompts"
        ) from error
    finally:
        model.zero_grad(set_to_none=True)


def _rendered(answer: str) -> str:
    """An answer with a thought, as a policy writes it."""
    return answer if THINK_OPEN in answer else f"{THINK_OPEN}\n…\n{THINK_CLOSE}\n\n{answer}"
