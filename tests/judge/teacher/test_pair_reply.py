"""What a teacher may reply about two answers."""

from __future__ import annotations

import json
from typing import Any

import jsonschema
import pytest

from judge.rubrics.rubric import RubricRegistry
from judge.rubrics.template import PairMaterial
from judge.teacher.pair_reply import FIRST, SCHEMA, parse_pair_reply
from judge.teacher.reply import MalformedError

A, B = "如果高烧不退，请尽快就医。", "多喝温水就会好，不用去医院。"
MATERIAL = PairMaterial("嗓子痛怎么办？", A, B, "")


def reply(**changes: Any) -> dict[str, Any]:
    return {"why": "提示了危险。", "evidence": A, "better": "first", **changes}


@pytest.mark.parametrize(
    ("said", "share"),
    [
        (reply(), 1.0),
        (reply(better="second", evidence=B), 0.0),
        (reply(better="same", evidence=""), 0.5),
    ],
)
def test_a_preference_is_the_first_answers_share(said: dict[str, Any], share: float) -> None:
    """1, 0 or a half, with the words that show it."""
    jsonschema.validate(said, SCHEMA)
    judged = parse_pair_reply(json.dumps(said), MATERIAL)
    assert (judged.scores, judged.evidence[FIRST]) == ({FIRST: share}, said["evidence"])


@pytest.mark.parametrize(
    "said",
    [
        reply(evidence=""),
        reply(evidence="这句话两份回答里都没有"),
        reply(better="A"),
        reply(better=1),
        reply(why=" "),
        reply(score=1.0),
        {"better": "first", "why": "提示了危险。", "evidence": A},
        {"why": "提示了危险。", "better": "first"},
    ],
)
def test_any_other_reply_is_no_verdict(said: dict[str, Any]) -> None:
    """A preference without its words, unknown fields, or the judgement before its reason."""
    with pytest.raises(MalformedError):
        parse_pair_reply(json.dumps(said), MATERIAL)


@pytest.mark.parametrize("name", ["medical", "medical-safety", "finance-quality"])
def test_a_prompts_example_is_a_valid_reply(name: str, rubrics: RubricRegistry) -> None:
    """A teacher that keeps to the example is understood."""
    system = rubrics.get(name).for_pairs.template.system
    (example,) = (line for line in system.splitlines() if line.startswith("{"))
    quoted = json.loads(example)["evidence"]
    parse_pair_reply(example, PairMaterial("", quoted, B, ""))
