"""Judged rollouts as the tensors that PPO trains on.

Shapes: B judged completions, C completion tokens (padded on the right), M rows of a mini-batch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from trainer.model import Sequences, completion_logprobs, completion_values, pack
from trainer.recipes import PpoRecipe
from trainer.rl import advantages
from trainer.rl.actor_critic import ActorCritic
from trainer.rl.rollout import Rollout


@dataclass(frozen=True, slots=True)
class Batch:
    """The fixed data of one rollout batch."""

    sequences: Sequences
    old_logprobs_BC: Tensor
    old_values_BC: Tensor
    advantages_BC: Tensor
    returns_BC: Tensor
    weights_BC: Tensor
    """Importance weights that correct for the engine's arithmetic; 1 if disabled."""
    kl_B: Tensor
    """KL from the reference policy in nats, summed over each completion."""
    mismatch: float
    """Mean |log π_trainer − log π_engine| per token, in nats."""

    def rows(self, index: Tensor) -> Batch:
        """The mini-batch of the rows in `index`, no wider than its longest completion."""
        names = ("old_logprobs_BC", "old_values_BC", "advantages_BC", "returns_BC", "weights_BC")
        sequences = self.sequences.rows(index)
        width = sequences.mask_BC.shape[1]
        tensors = {name: getattr(self, name)[index, :width] for name in names}
        return Batch(sequences=sequences, kl_B=self.kl_B[index], mismatch=self.mismatch, **tensors)


def score(rollout: Rollout, missing_eos_penalty: float) -> float:
    """The judge's reward, minus the penalty for a completion that was cut off."""
    assert rollout.result.reward is not None, "a failed judgement is never a score"
    ended = rollout.completion.finish_reason == "stop"
    return rollout.result.reward - (0.0 if ended else missing_eos_penalty)


@torch.no_grad()
def build(
    rollouts: Sequence[Rollout],
    model: ActorCritic,
    recipe: PpoRecipe,
    kl_coefficient: float,
    pad: int,
) -> Batch:
    """Old log-probabilities, values, advantages and returns of judged rollouts.

    The old log-probabilities are the trainer's own; the engine's are only used for the importance
    weights. Values and log-probabilities are computed in mini-batches.
    """
    device = next(model.parameters()).device
    sequences = pack(
        [r.question.prompt_ids for r in rollouts], [r.completion.token_ids for r in rollouts], pad
    ).to(device)
    logprobs = partial(completion_logprobs, temperature=recipe.temperature)
    size = recipe.mini_batch_size
    old_BC = _in_parts(partial(logprobs, model.policy), sequences, size)
    with model.reference() as reference:
        reference_BC = _in_parts(partial(logprobs, reference), sequences, size)
    values_BC = _in_parts(partial(completion_values, model.critic), sequences, size)
    mask_BC = sequences.mask_BC
    engine_BC = _padded([r.completion.logprobs for r in rollouts], mask_BC)
    scores_B = torch.tensor([score(r, recipe.missing_eos_penalty) for r in rollouts], device=device)
    rewards_BC = advantages.token_rewards(scores_B, old_BC, reference_BC, mask_BC, kl_coefficient)
    advantages_BC, returns_BC = advantages.gae(
        rewards_BC, values_BC, mask_BC, recipe.gamma, recipe.lam
    )
    weights_BC = (
        advantages.importance_weights(old_BC, engine_BC, mask_BC, recipe.importance_cap)
        if recipe.importance_cap
        else mask_BC
    )
    return Batch(
        sequences=sequences,
        old_logprobs_BC=old_BC,
        old_values_BC=values_BC,
        advantages_BC=advantages.whiten(advantages_BC, mask_BC),
        returns_BC=returns_BC,
        weights_BC=weights_BC,
        kl_B=((old_BC - reference_BC) * mask_BC).sum(dim=1),
        mismatch=float(advantages.masked_mean((old_BC - engine_BC).abs(), mask_BC)),
    )


def mini_batches(rows: int, recipe: PpoRecipe, generator: torch.Generator) -> Iterator[Tensor]:
    """Row indices of each optimizer step: `ppo_epochs` shuffled passes over the batch.

    The number of steps is that of a batch without failures. If judgements failed, the remaining
    rows are spread over the steps, and a step may get none.
    """
    steps = recipe.batch_size // recipe.mini_batch_size
    for _ in range(recipe.ppo_epochs):
        order_B = torch.randperm(rows, generator=generator)
        yield from order_B.tensor_split(steps)


def _in_parts(compute: Callable[[Sequences], Tensor], sequences: Sequences, size: int) -> Tensor:
    """What `compute` says of each completion token, (B, C), asked for `size` rows at a time.

    Rows of like length go together, so that little of the work is padding.
    """
    found_BC = torch.zeros_like(sequences.mask_BC)
    order_B = sequences.attention_BT.sum(dim=1).argsort()
    for rows in torch.split(order_B, size):
        part_BC = compute(sequences.rows(rows))
        found_BC[rows, : part_BC.shape[1]] = part_BC
    return found_BC


def _padded(rows: Sequence[Sequence[float]], mask_BC: Tensor) -> Tensor:
    padded_BC = torch.zeros_like(mask_BC)
    for index, row in enumerate(rows):
        padded_BC[index, : len(row)] = torch.tensor(row)
    return padded_BC
