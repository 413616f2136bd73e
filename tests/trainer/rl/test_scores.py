"""Laws of the way from rewards to scores."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tests.fakes.rollouts import rollout_of
from trainer.recipes import GrpoRecipe, PpoRecipe, Rewards
from trainer.rl import scores
from trainer.rl.rollout import Rollout


def recipe_of(rewards: dict[str, Any], **changes: Any) -> GrpoRecipe:
    fields = {"stage": "grpo", "run": "r", "model": "m", "prompts": ["p"], "rewards": rewards}
    return GrpoRecipe.model_validate({**fields, **changes})


def judged(judge: float, exact: float, group: int = 0, **changes: Any) -> Rollout:
    rollout = rollout_of(judge + 3 * exact, group=group, **changes)
    return replace(rollout, parts={"judge": judge, "exact": exact})


BOTH = {"judge": 1.0, "exact": 3.0}


def test_the_score_is_the_weighted_sum() -> None:
    """By hand."""
    assert scores.weighed({"judge": 0.5, "exact": 0.2}, Rewards(**BOTH)) == pytest.approx(1.1)
    assert scores.totals([judged(0.5, 0.2)], recipe_of(BOTH)) == pytest.approx([1.1])


def test_a_source_that_failed_leaves_no_sum() -> None:
    """A failure is never a score, not even a part of one."""
    assert scores.weighed({"judge": 0.5, "exact": None}, Rewards(**BOTH)) is None
    with pytest.raises(AssertionError, match="never a score"):
        scores.totals([rollout_of(None)], recipe_of({}))


def test_each_source_may_be_normalised_first() -> None:
    """Then a source's scale and offset change nothing, within the batch or a prompt's answers."""
    plain = [judged(0, 0, 0), judged(1, 1, 0), judged(0, 1, 1), judged(1, 0, 1)]
    shifted = [
        replace(r, parts={"judge": 100 * (r.parts["judge"] or 0) + 7, "exact": r.parts["exact"]})
        for r in plain
    ]
    for over in ("batch", "group"):
        recipe = recipe_of({**BOTH, "normalise": over})
        found = scores.totals(plain, recipe)
        assert found == pytest.approx([-4, 4, 2, -2], rel=1e-3)
        assert scores.totals(shifted, recipe) == pytest.approx(found, rel=1e-3)


def test_clip_comes_before_scale() -> None:
    """An outlier is clipped, then the whole has deviation 1."""
    recipe = recipe_of({"clip": 2.0, "scale": True})
    found = scores.totals([rollout_of(50.0), rollout_of(-2.0)], recipe)
    assert found == pytest.approx([1.0, -1.0], rel=1e-3)


def test_rewards_that_hardly_differ_are_not_blown_up() -> None:
    """`scale` divides by 0.05 at least, also where all rewards are the same."""
    recipe = recipe_of({"scale": True})
    assert scores.totals([rollout_of(0.5), rollout_of(0.5)], recipe) == pytest.approx([10.0] * 2)


def test_a_completion_that_did_not_end_pays_the_penalty() -> None:
    """Only `stop` is an end; a completion cut off by its length loses the whole penalty."""
    recipe = recipe_of({}, missing_eos_penalty=1.0)
    cut_off = rollout_of(0.5, finish_reason="length")
    assert scores.totals([rollout_of(0.5), cut_off], recipe) == [0.5, -0.5]


@pytest.mark.parametrize(("tokens", "lost"), [(6, 0.0), (7, 0.25), (9, 0.75), (10, 1.0)])
def test_near_the_limit_a_penalty_grows(tokens: int, lost: float) -> None:
    """From 0 before the last four tokens to 1 at the limit."""
    recipe = recipe_of({}, max_new_tokens=10, soft_limit=4)
    assert scores.penalty(rollout_of(1.0, (5,) * tokens), recipe) == lost


def test_one_source_at_least_must_be_asked() -> None:
    """A recipe without any reward is refused."""
    with pytest.raises(ValueError, match="must be above 0"):
        recipe_of({"judge": 0.0})


def test_a_prompts_only_answer_is_compared_with_no_other() -> None:
    """Its score by group would always be 0."""
    with pytest.raises(ValueError, match="`generations`"):
        PpoRecipe.model_validate(
            {
                **{"stage": "ppo", "run": "r", "model": "m", "prompts": ["p"]},
                "rewards": {"normalise": "group"},
            }
        )
