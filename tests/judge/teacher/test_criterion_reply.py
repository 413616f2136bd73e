"""Laws of a reply about one criterion."""

from __future__ import annotations

import json
from typing import Any

import pytest

from judge.rubrics.template import CriterionMaterial
from judge.teacher.criterion_reply import parse_criterion_reply
from judge.teacher.reply import MalformedError

MATERIAL = CriterionMaterial("胸痛怎么办", "请马上拨打急救电话，不要走动。", "", "要求拨打120")
REPLY = {"why": "要求拨打", "evidence": "请马上拨打急救电话", "met": True}


def test_a_verdict_is_read() -> None:
    """Met or not, with its reason and the words that show it."""
    found = parse_criterion_reply(json.dumps(REPLY), MATERIAL)
    assert (found.scores, found.why) == ({"met": 1.0}, "要求拨打")
    assert found.evidence == {"met": "请马上拨打急救电话"}


@pytest.mark.parametrize("met", [True, False])
def test_what_is_missing_needs_no_quotation(met: bool) -> None:
    """A criterion may be met by something that the answer does not say."""
    found = parse_criterion_reply(json.dumps({**REPLY, "evidence": "", "met": met}), MATERIAL)
    assert found.scores == {"met": float(met)}


@pytest.mark.parametrize(
    "change",
    [
        {"met": "true"},
        {"met": 1},
        {"met": None},
        {"why": " "},
        {"evidence": "胸痛怎么办"},
        {"evidence": "马上"},
        {"score": 1.0},
    ],
    ids=str,
)
def test_nothing_is_guessed(change: dict[str, Any]) -> None:
    """What is no yes or no is no verdict, nor is one with words that the answer does not have."""
    with pytest.raises(MalformedError):
        parse_criterion_reply(json.dumps(REPLY | change), MATERIAL)


def test_the_verdict_comes_after_its_reason() -> None:
    """A verdict that comes first does not rest on the reason."""
    with pytest.raises(MalformedError, match="in this order"):
        parse_criterion_reply(json.dumps(dict(reversed(REPLY.items()))), MATERIAL)
