"""Answers that stop in the middle."""

from __future__ import annotations

import pytest

from judge.rules.cut_off import cut_off
from judge.text.case import Case

THOUGHT = "<think>\n想一想\n</think>\n\n"
WHOLE = "嗓子痛可能与咽炎有关。建议多喝温水，少吃辛辣。如果高烧不退，请尽快就医。"


def cut(answer: str) -> str | None:
    """The words that were left hanging."""
    response = THOUGHT + answer
    span = cut_off(Case("嗓子痛", response), None)
    return response[slice(*span)] if span else None


@pytest.mark.parametrize(
    ("answer", "tail"),
    [
        (WHOLE[:-3], "如果高烧不退，请尽快"),
        (WHOLE[:18], "建议多喝温水，"),
        (WHOLE[:-8], "如果高烧不"),
        ("建议您，", "建议您，"),
        ("1. 多喝温水。\n2. 少吃辛辣。\n3. 如果高烧", "如果高烧"),
        ("请注意以下几点：\n1. 多喝温水。\n2. 少吃辛辣，", "少吃辛辣，"),
        ("Rest for two days. Drink water and see a", "Drink water and see a"),
        ("<answer>营收增长。因此结果</answer>", "因此结果"),
    ],
)
def test_a_sentence_without_its_end_is_marked(answer: str, tail: str) -> None:
    """Ended in a comma, or in a letter where its neighbours end in full stops."""
    assert cut(answer) == tail


@pytest.mark.parametrize(
    "answer",
    [
        "",
        WHOLE,
        "多喝温水",
        "多喝温水！早点睡～",
        "建议复查血常规。\n\n答案是：C. 轻度铅中毒",
        "因此，答案是：\n\nB. 风痰闭阻",
        "可以做这些：\n- 多喝水\n- 早点睡",
        "按公式计算。\n\n$$BMI = 22.9$$",
        "营收为1000万元。\n<answer>1000</answer>",
        "可以这样写。\n```json\n{}\n```",
        "多喝温水。祝早日康复",
        "正常值为3～5天",
        "See a doctor soon.",
    ],
)
def test_a_whole_answer_is_not_marked(answer: str) -> None:
    """Results, lists, formulas, code and good wishes need no full stop."""
    assert cut(answer) is None


def test_a_cut_after_a_sentence_is_not_seen() -> None:
    """It looks whole; what it lacks is for the teacher to find."""
    assert cut(WHOLE[:11]) is None
