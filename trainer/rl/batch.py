"""Judged rollouts as the tensors that algorithms train on.

Shapes: B judged completions, C completion tokens (padded on the right).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial

import torch
from accelerate.utils import reduce
from torch import Tensor

from trainer import processes
from trainer.model import Sequences, completion_logprobs, completion_values, pack
from trainer.recipes import RlRecipe
from trainer.rl import correction, scores
from trainer.rl.actor_critic import ActorCritic
from trainer.rl.algorithms import Algorithm
from trainer.rl.algorithms.streams import Drawn, Fixed, counted, shares
from trainer.rl.algorithms.terms import kl
from trainer.rl.rollout import Rollout

CHECKED_EVERY = 8
"""Of so many completions the trainer computes one, to compare it with the engine."""
AGREE = 1e-4
"""Mean nats per token by which the two may differ there."""


@dataclass(frozen=True, slots=True)
class Batch:
    """One rollout batch, ready to be learnt."""

    sequences: Sequences
    fixed: Fixed
    kl_B: Tensor | None
    """KL from the reference in nats (k1), summed over each completion; None without a reference."""
    figures: dict[str, float]
    teaches_B: Tensor
    """Which rows have a gradient; the others count in the means and are not computed."""

    def parts(self, rows: Tensor, size: int | None, recipe: RlRecipe) -> list[Part]:
        """This process's share of the mini-batch of `rows`, in parts of at most `size` rows, each
        as narrow as it can be; none if no row teaches anything.

        All processes get the same number of parts, since their gradients are added part by part. A
        part without rows has a row that counts for nothing.
        """
        totals = counted(self.fixed.mask_BC[rows])
        rows = rows[self.teaches_B[rows]]
        if not len(rows):
            return []
        cut, counting = zip(*_cut(rows, size), strict=True)
        sequences = [self.sequences.rows(index) for index in cut]
        fixed = [
            self.fixed.rows(index, part.mask_BC.shape[1])
            for index, part in zip(cut, sequences, strict=True)
        ]
        masks = [part.mask_BC for part in fixed]
        weighed = shares(masks, recipe.over, recipe.max_new_tokens, totals)
        learnt = counted(self.fixed.mask_BC[rows])
        by_token = shares(masks, "tokens", recipe.max_new_tokens, learnt)
        for n, own in enumerate(counting):
            weighed[n][own:] = by_token[n][own:] = 0.0
        return [
            Part(sequences[n], replace(fixed[n], share_BC=weighed[n]), by_token[n])
            for n in range(len(cut))
        ]


@dataclass(frozen=True, slots=True)
class Part:
    """Rows of a mini-batch that are computed at once."""

    sequences: Sequences
    fixed: Fixed
    by_token_BC: Tensor
    """Each token's share of a mean over the tokens that are computed, for figures."""


@torch.no_grad()
def build(
    rollouts: Sequence[Rollout],
    model: ActorCritic,
    recipe: RlRecipe,
    algorithm: Algorithm,
    pad: int,
) -> Batch:
    """What is known of judged rollouts before any update, and what each token earned."""
    device = next(model.parameters()).device
    sequences = pack(
        [r.question.prompt_ids for r in rollouts], [r.completion.token_ids for r in rollouts], pad
    ).to(device)
    size = recipe.micro_batch_size or recipe.mini_batch_size
    compute = partial(_in_parts, sequences=sequences, size=size)
    logprobs = partial(completion_logprobs, temperature=recipe.temperature)
    mask_BC = sequences.mask_BC
    engine_BC = _padded([r.completion.logprobs for r in rollouts], mask_BC)
    old_BC, checked = _old(partial(logprobs, model.policy), sequences, engine_BC, size, recipe)
    reference_BC = None
    if recipe.needs_reference:
        with model.reference() as reference:
            reference_BC = compute(partial(logprobs, reference))
    values_BC = compute(partial(completion_values, model.critic)) if model.critic else None
    learnt_BC = mask_BC
    if recipe.truncated == "mask":
        ended_B1 = torch.tensor([[float(r.has_ended)] for r in rollouts], device=device)
        learnt_BC = mask_BC * ended_B1
    drawn = Drawn(
        scores_B=torch.tensor(scores.totals(rollouts, recipe), device=device),
        groups_B=torch.tensor([r.group for r in rollouts], device=device),
        mask_BC=mask_BC,
        learnt_BC=learnt_BC,
        old_BC=old_BC,
        reference_BC=reference_BC,
        values_BC=values_BC,
        teacher_BC=_padded([r.teacher for r in rollouts if r.teacher], mask_BC)
        if all(r.teacher for r in rollouts)
        else None,
    )
    credit = algorithm.credit(drawn)
    fixed = Fixed(
        mask_BC=learnt_BC,
        share_BC=learnt_BC,  # `Batch.parts` sets it
        old_BC=old_BC,
        advantages_BC=credit.advantages_BC,
        weights_BC=correction.weights(old_BC, engine_BC, mask_BC, recipe.correction),
        reference_BC=reference_BC,
        old_values_BC=values_BC,
        returns_BC=credit.returns_BC,
    )
    kl_B = None if reference_BC is None else (kl(old_BC, reference_BC) * mask_BC).sum(dim=1)
    figures = correction.mismatch(old_BC[checked], engine_BC[checked], mask_BC[checked])
    figures["computed_anew"] = len(checked) / len(rollouts)
    if values_BC is not None and credit.returns_BC is not None:
        figures["explained_variance"] = _explained(values_BC, credit.returns_BC, mask_BC)
    teaches_B = torch.ones(len(rollouts), dtype=torch.bool)
    if reference_BC is None and values_BC is None and not recipe.entropy_coefficient:
        teaches_B = (credit.advantages_BC != 0).any(dim=1).cpu()
    return Batch(sequences, fixed, kl_B, figures, teaches_B)


def _old(
    compute: Callable[[Sequences], Tensor],
    sequences: Sequences,
    engine_BC: Tensor,
    size: int,
    recipe: RlRecipe,
) -> tuple[Tensor, Tensor]:
    """log π of the policy that wrote the completions, (B, C), and the rows that the trainer
    computed for it.

    With `old_logprobs: engine` these are some rows alone where they agree with the engine's; the
    engine's then stand for the others.
    """
    old_BC, mask_BC = engine_BC.clone(), sequences.mask_BC

    def compute_rows(rows: Tensor) -> None:
        part_BC = _in_parts(compute, sequences.rows(rows), size)
        old_BC[rows, : part_BC.shape[1]] = part_BC

    every = torch.arange(len(old_BC), device=old_BC.device)
    if recipe.old_logprobs == "trainer":
        compute_rows(every)
        return old_BC, every
    is_checked = every % CHECKED_EVERY == 0
    checked, others = every[is_checked], every[~is_checked]
    compute_rows(checked)
    found = correction.mismatch(old_BC[checked], engine_BC[checked], mask_BC[checked])
    if found["mismatch"] <= AGREE or not len(others):
        return old_BC, checked
    compute_rows(others)
    return old_BC, every


def mini_batches(rows: int, recipe: RlRecipe, generator: torch.Generator) -> Iterator[Tensor]:
    """Row indices of each optimizer step: `epochs` shuffled passes over the batch.

    The number of steps is that of a batch without failures. If judgements failed, the remaining
    rows are spread over the steps, and a step may get none.
    """
    steps = recipe.batch_size // recipe.mini_batch_size
    for _ in range(recipe.epochs):
        order_B = torch.randperm(rows, generator=generator)
        yield from order_B.tensor_split(steps)


def _cut(rows: Tensor, size: int | None) -> Iterator[tuple[Tensor, int]]:
    """The parts of this process's share of `rows`, and how many rows of each count."""
    share = math.ceil(len(rows) / processes.count())
    own = rows[processes.number() * share :][:share]
    size = size or share
    for at in range(0, share, size):
        part = own[at : at + size]
        yield (part, len(part)) if len(part) else (rows[:1], 0)


def _explained(values_BC: Tensor, returns_BC: Tensor, mask_BC: Tensor) -> float:
    """1 − Var(R − V) / Var(R) over the real tokens; 0 if all returns are equal."""
    real = mask_BC.bool()
    returns_N, errors_N = returns_BC[real], (returns_BC - values_BC)[real]
    spread = returns_N.var(unbiased=False)
    return float(1 - errors_N.var(unbiased=False) / spread) if spread > 0 else 0.0


def _in_parts(compute: Callable[[Sequences], Tensor], sequences: Sequences, size: int) -> Tensor:
    """What `compute` says of each completion token, (B, C), asked for `size` rows at a time.

    Rows of like length go together, so that little of the work is padding.
    """
    found_BC = torch.zeros_like(sequences.mask_BC)
    order_B = sequences.attention_BT.sum(dim=1).argsort()
    for rows in torch.split(order_B, size)[processes.number() :: processes.count()]:
        part_BC = compute(sequences.rows(rows))
        found_BC[rows, : part_BC.shape[1]] = part_BC
    return found_BC if processes.count() == 1 else reduce(found_BC, reduction="sum")


def _padded(rows: Sequence[Sequence[float]], mask_BC: Tensor) -> Tensor:
    padded_BC = torch.zeros_like(mask_BC)
    for index, row in enumerate(rows):
        padded_BC[index, : len(row)] = torch.tensor(row)
    return padded_BC
