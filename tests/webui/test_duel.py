"""Laws of the vote between two answers."""

from __future__ import annotations

from typing import get_args

import pytest

from judge.audit_schemas import VoteChoice
from webui.bubbles import bubbles
from webui.duel import CHOICES, ballot, hidden, problem
from webui.text import Reply, Turn

LEFT = Turn("问", Reply("想", "甲答", version="sft"), finished=True)
RIGHT = Turn("问", Reply("", "乙答", version="ppo-2"), finished=True)


def test_a_vote_holds_both_answers_as_they_were_shown() -> None:
    """With the thoughts, since that is what a policy learns from."""
    vote = ballot((LEFT, RIGHT), "a", "one")
    assert vote.model_dump() == {
        "id": "one",
        "prompt": "问",
        "response_a": "<think>\n想\n</think>\n\n甲答",
        "response_b": "乙答",
        "model_a": "sft",
        "model_b": "ppo-2",
        "vote": "a",
    }


def test_every_vote_that_the_judge_takes_has_a_button() -> None:
    """And no other."""
    assert set(CHOICES) == set(get_args(VoteChoice))


@pytest.mark.parametrize(
    ("pair", "is_votable"),
    [
        ((LEFT, RIGHT), True),
        ((LEFT, LEFT), False),
        ((LEFT, Turn("问", Reply(content="乙"))), False),
        ((LEFT, Turn("问", finished=True)), False),
    ],
    ids=["whole", "the same", "unfinished", "empty"],
)
def test_only_two_whole_answers_that_differ_can_be_voted_on(
    pair: tuple[Turn, Turn], is_votable: bool
) -> None:
    """The reader is told why, else."""
    assert (problem(pair) is None) == is_votable


def test_before_the_vote_no_version_is_named() -> None:
    """So that nobody votes for a name."""
    assert "ppo-2" in str(bubbles((RIGHT,)))
    assert "ppo-2" not in str(bubbles((hidden(RIGHT),)))
