"""Laws of a row's meta: what the rules find, why, and how well they agree with labels."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from galen.records import Meta
from judge.medical.situation import read_situation
from trainer.data import tag
from trainer.data.example import Example, Message
from trainer.data.problems import BadRow

LABELS = Path(__file__).with_name("labels.jsonl")
"""Questions written for this project with the four fields; nobody's words."""
LEAST = {"risk_level": 0.9, "specialty": 0.88, "complexity": 0.82, "lang_style": 0.95}
SEVERE = {"high", "critical"}


def asks(question: str, **meta: Any) -> Example:
    return Example((Message("user", question),), meta=meta)


def found(question: str) -> dict[str, Any]:
    return tag.meta(asks(question), "ours")[0]


def labelled() -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    for line in LABELS.read_text("utf-8").splitlines():
        label = json.loads(line)
        yield label, found(label["input"])


def test_the_rules_agree_with_the_labels() -> None:
    """On 245 labelled questions each field agrees at least as often as was measured."""
    pairs = list(labelled())
    assert len(pairs) >= 200
    agreed = {
        field: sum(label[field] == meta[field] for label, meta in pairs) / len(pairs)
        for field in LEAST
    }
    assert all(agreed[field] >= least for field, least in LEAST.items()), agreed


def test_hardly_a_severe_question_is_missed() -> None:
    """At least 95 % of the questions of high or critical risk are found, each level by itself."""
    for levels in ({"critical"}, SEVERE):
        severe = [meta for label, meta in labelled() if label["risk_level"] in levels]
        assert sum(meta["risk_level"] in levels for meta in severe) >= 0.95 * len(severe)


def test_what_is_harmless_is_not_called_severe() -> None:
    """At most 3 % of the questions of low or medium risk are called severe."""
    mild = [meta for label, meta in labelled() if label["risk_level"] not in SEVERE]
    assert sum(meta["risk_level"] in SEVERE for meta in mild) <= 0.03 * len(mild)


def test_an_emergency_for_the_judge_is_severe_here() -> None:
    """The judge demands urgent advice for no question that the rules call harmless."""
    missed = [
        label["input"]
        for label, meta in labelled()
        if (about := read_situation(label["input"])).is_emergency or about.is_crisis
        if meta["risk_level"] not in SEVERE
    ]
    assert missed == []


@pytest.mark.parametrize(
    ("question", "level"),
    [
        ("胸口闷痛半小时，满头大汗", "critical"),
        ("没有胸痛，也没有出汗，就是有点累", "low"),
        ("什么是心肌梗死？", "low"),
        ("我爸是不是心梗？胸口压得疼，直冒冷汗", "critical"),
        ("我不想活了", "critical"),
        ("从来没有自杀的念头，就是睡不着", "low"),
        ("商场打跳楼价，值得买吗", "low"),
    ],
)
def test_a_denied_sign_or_a_topic_is_no_danger(question: str, level: str) -> None:
    """A sign counts where somebody has it, not where it is denied or only talked about."""
    assert found(question)["risk_level"] == level


def test_a_textbook_case_is_no_emergency() -> None:
    """In an examination question nobody is in danger now, so it is high at most."""
    meta, why = tag.meta(
        asks("患者，男，60岁，突发胸骨后压榨痛伴大汗，最可能的诊断是什么？"), "exam"
    )
    assert meta["risk_level"] == "high"
    assert "textbook" in why["risk_level"]


def test_a_reason_names_the_words_that_decided() -> None:
    """Every field has its reason; that of risk, specialty and style quotes the question."""
    question = "怀孕两个月，牙疼得不行，能吃甲硝唑吗？"
    meta, why = tag.meta(asks(question), "ours")
    assert why.keys() == meta.keys()
    assert "甲硝唑" in why["risk_level"]
    assert "怀孕" in why["specialty"]
    assert "吗" in why["lang_style"]


def test_what_the_row_brings_stays() -> None:
    """A field that a row brings is kept, others of it too, and no rule overrides it."""
    example = asks("我不想活了", risk_level="low", safety_concern="x", is_deidentified=True)
    meta, why = tag.meta(example, "ours")
    assert (meta["risk_level"], meta["safety_concern"]) == ("low", "x")
    assert meta["is_deidentified"] is True
    assert why["risk_level"] == tag.GIVEN


def test_an_impossible_field_is_refused_by_name() -> None:
    """A level that does not exist is a bad row, which names the field."""
    with pytest.raises(BadRow, match=r"meta\.risk_level"):
        tag.meta(asks("头痛", risk_level="严重"), "ours")


def test_rules_never_claim_that_a_row_is_deidentified() -> None:
    """Only the step that replaces names says that a row is de-identified."""
    assert found("我叫什么不重要")["is_deidentified"] is False


def test_all_turns_of_the_user_count_and_none_of_the_answers() -> None:
    """An emergency in an earlier turn counts; one that only the answer names does not."""
    turns = (Message("user", "胸口压着疼，冒冷汗"), Message("assistant", "多久了？"))
    assert tag.meta(Example((*turns, Message("user", "半小时"))), "ours")[0]["risk_level"] == (
        "critical"
    )
    warned = Example((Message("user", "感冒几天好"), Message("assistant", "若昏迷请拨打120")))
    assert tag.meta(warned, "ours")[0]["risk_level"] == "low"


@given(st.text(max_size=200))
def test_any_text_has_a_valid_meta(text: str) -> None:
    """Whatever is asked, the meta is one that rows may have."""
    Meta.model_validate(found(text))
