"""From the sources' rewards to the score of each completion.

    score = clip(Σ weight · r_source) / deviation − penalties

Each source may be given mean 0 and deviation 1 first (GDPO, arXiv:2601.05242), so that none
outweighs the others by its scale alone. A completion that was cut off loses `missing_eos_penalty`;
with `soft_limit` a long one loses up to 1 more (DAPO, arXiv:2503.14476).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean, pstdev

from trainer.recipes import Rewards, RlRecipe
from trainer.rl.rollout import Rollout

EPSILON = 1e-4
"""Added to a deviation: rewards that differ by rounding alone are not blown up."""
LEAST_DEVIATION = 0.05
"""The least that `scale` divides by: rewards that hardly differ are not blown up."""


def weights(rewards: Rewards) -> dict[str, float]:
    """The weight of each source that is asked."""
    found = {"judge": rewards.judge, "exact": rewards.exact}
    if rewards.model:
        found["model"] = rewards.model.weight
    return {name: weight for name, weight in found.items() if weight}


def weighed(parts: Mapping[str, float | None], rewards: Rewards) -> float | None:
    """The sources' weighted sum; None if one of them failed: a failure is never a score."""
    total = 0.0
    for name, weight in weights(rewards).items():
        part = parts.get(name)
        if part is None:
            return None
        total += weight * part
    return total


def totals(rollouts: Sequence[Rollout], recipe: RlRecipe) -> list[float]:
    """The score of each judged rollout, in order."""
    rewards = recipe.rewards
    sums = [_reward(rollout) for rollout in rollouts]
    if rewards.normalise != "none":
        sums = [0.0] * len(rollouts)
        for name, weight in weights(rewards).items():
            for index, value in enumerate(_normalised(rollouts, name, rewards.normalise)):
                sums[index] += weight * value
    if rewards.clip is not None:
        sums = [min(max(value, -rewards.clip), rewards.clip) for value in sums]
    if rewards.scale:
        deviation = max(pstdev(sums), LEAST_DEVIATION)
        sums = [value / deviation for value in sums]
    return [s - penalty(r, recipe) for s, r in zip(sums, rollouts, strict=True)]


def penalty(rollout: Rollout, recipe: RlRecipe) -> float:
    """What a completion loses for its length: for being cut off, and for coming near the limit."""
    lost = 0.0 if rollout.has_ended else recipe.missing_eos_penalty
    if recipe.soft_limit is not None:
        beyond = len(rollout.completion.token_ids) - (recipe.max_new_tokens - recipe.soft_limit)
        lost += min(max(beyond / recipe.soft_limit, 0.0), 1.0)
    return lost


def _normalised(rollouts: Sequence[Rollout], name: str, over: str) -> list[float]:
    """A source's rewards with mean 0 and deviation 1 over the batch or over each prompt's."""
    groups: dict[int, list[int]] = {}
    for index, rollout in enumerate(rollouts):
        groups.setdefault(rollout.group if over == "group" else 0, []).append(index)
    found = [0.0] * len(rollouts)
    for rows in groups.values():
        values = [_part(rollouts[index], name) for index in rows]
        mean, deviation = fmean(values), pstdev(values) + EPSILON
        for index, value in zip(rows, values, strict=True):
            found[index] = (value - mean) / deviation
    return found


def _part(rollout: Rollout, name: str) -> float:
    value = rollout.parts.get(name)
    assert value is not None, "a failed judgement is never a score"
    return value


def _reward(rollout: Rollout) -> float:
    assert rollout.result.reward is not None, "a failed judgement is never a score"
    return rollout.result.reward
