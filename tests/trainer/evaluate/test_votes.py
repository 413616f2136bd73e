"""Laws of ranking models by votes."""

from __future__ import annotations

import numpy as np
import pytest

from galen.errors import InvalidInput
from judge.audit_schemas import Vote, VoteChoice
from trainer.evaluate.votes import standings


def vote(a: str, b: str, choice: VoteChoice) -> Vote:
    return Vote(
        prompt="头痛？", response_a="一", response_b="二", model_a=a, model_b=b, vote=choice
    )


def test_strengths_are_those_that_the_votes_were_drawn_from() -> None:
    """Of 600 votes the intervals hold the differences that made them."""
    true = {"weak": -0.8, "middle": 0.0, "strong": 0.8}
    rng = np.random.default_rng(3)
    votes = []
    for _ in range(600):
        a, b = rng.choice(list(true), 2, replace=False)
        wins = rng.random() < 1 / (1 + np.exp(true[b] - true[a]))
        votes.append(vote(str(a), str(b), "a" if wins else "b"))
    found = standings(votes)
    assert [each.model for each in found] == ["strong", "middle", "weak"]
    for each in found:
        assert each.low <= true[each.model] <= each.high
        assert each.won + each.tied + each.lost == sum(
            each.model in (v.model_a, v.model_b) for v in votes
        )


def test_a_tie_is_half_a_win_for_either() -> None:
    """Ties alone make equals, and so do two bad answers; sides do not matter."""
    found = standings([vote("a", "b", "tie"), vote("b", "a", "both_bad")])
    assert [each.strength for each in found] == pytest.approx([0.0, 0.0], abs=1e-6)
    one = {s.model: s.strength for s in standings([vote("a", "b", "a"), vote("a", "b", "b")])}
    assert one["a"] == pytest.approx(one["b"], abs=1e-6)


def test_models_that_no_vote_connects_are_refused() -> None:
    """Nothing says which is stronger; votes on one model alone say nothing at all."""
    with pytest.raises(InvalidInput, match="no vote compares a, b with c, d"):
        standings([vote("a", "b", "a"), vote("c", "d", "a")])
    with pytest.raises(InvalidInput, match="no vote"):
        standings([vote("a", "a", "a")])
