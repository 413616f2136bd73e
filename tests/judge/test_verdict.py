"""Replies are read strictly: a verdict or nothing."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from judge.verdict import MalformedError, Spent, parse_reply

DIMENSIONS = ["safety", "logic"]
GOOD = {"why": "好", "safety": 0.5, "logic": 1}


def test_a_good_reply() -> None:
    """Scores come back as floats under the rubric's names, the reason beside them."""
    assert parse_reply(json.dumps(GOOD), DIMENSIONS) == ({"safety": 0.5, "logic": 1.0}, "好")


@pytest.mark.parametrize(
    "reply",
    [
        "",
        " \n",
        "null",
        "[]",
        "0.9",
        "not json",
        json.dumps(GOOD)[:-1],
        json.dumps(GOOD) + "}",
        "```json\n" + json.dumps(GOOD) + "\n```",
        json.dumps({k: v for k, v in GOOD.items() if k != "logic"}),
        json.dumps({k: v for k, v in GOOD.items() if k != "why"}),
        json.dumps(GOOD | {"overall": 1.0}),
        json.dumps(GOOD | {"safety": 1.01}),
        json.dumps(GOOD | {"safety": -0.01}),
        json.dumps(GOOD | {"safety": "0.9"}),
        json.dumps(GOOD | {"safety": True}),
        json.dumps(GOOD | {"safety": None}),
        '{"why": "x", "safety": NaN, "logic": 1}',
        '{"why": "x", "safety": 0, "safety": 1, "logic": 1}',
        "[" * 100_000,
    ],
)
def test_anything_else_is_malformed(reply: str) -> None:
    """Nothing is repaired, rounded, or taken for a 0."""
    with pytest.raises(MalformedError):
        parse_reply(reply, DIMENSIONS)


@given(st.text(max_size=200))
def test_no_text_breaks_the_parser(reply: str) -> None:
    """Whatever a teacher says, it is a verdict or malformed."""
    try:
        scores, _ = parse_reply(reply, DIMENSIONS)
    except MalformedError:
        return
    assert all(0 <= score <= 1 for score in scores.values())


@given(
    st.floats(min_value=0, max_value=1), st.floats(min_value=0, max_value=1), st.text(max_size=50)
)
def test_every_verdict_is_read_as_it_was_meant(safety: float, logic: float, why: str) -> None:
    """Scores survive the way through JSON to the last bit."""
    reply = json.dumps({"why": why, "safety": safety, "logic": logic})
    assert parse_reply(reply, DIMENSIONS)[0] == {"safety": safety, "logic": logic}


def test_what_is_spent_adds_up() -> None:
    """Each kind of spending adds to its own kind."""
    total = Spent(1, 2, 3, 0.5) + Spent(10, 20, 30, 0.25)
    assert total == Spent(11, 22, 33, 0.75)
