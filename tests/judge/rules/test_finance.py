"""The rules for finance: form, and an answer that is the known one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from judge.rubrics.rubric import RubricRegistry
from judge.rules import registry
from judge.rules.finance import is_right
from judge.text.case import Case

SHELF = RubricRegistry.load()
QUESTION = "某公司2023年营收1000万元，同比增长25%，2022年营收是多少万元？"
SOLUTION = "<think>\n1000/1.25=800\n</think>\n<answer>\n800万元\n</answer>"


def hit(name: str, response: str, reference: str, threshold: int | None = None) -> str | None:
    """The words that a rule hit, None if it did not hit."""
    found = registry.find(name, Case(QUESTION, response, reference), threshold)
    assert found is None or found.span is not None
    return response[slice(*found.span)] if found and found.span else None


def reward(response: str, reference: str) -> float:
    rubric = SHELF.get("finance")
    hits = registry.apply(rubric.file.rules, Case(QUESTION, response, reference))
    return rubric.reward_of_rules(rubric.rule_verdict(hits))


@pytest.mark.parametrize(
    ("response", "expected"),
    [
        (SOLUTION, 1.0),
        (SOLUTION.replace("800万", "900万"), 0.3),
        ("<think>想</think>\n\n答案：800万元", 0.7),
        ("<think>想</think>\n\n大概不少", 0.0),
        ("", 0.0),
    ],
)
def test_the_reward_is_form_and_result(response: str, expected: float) -> None:
    """D5: 0.3 for the tags, 0.7 for the answer."""
    assert reward(response, "800") == pytest.approx(expected)


@pytest.mark.parametrize(
    "response",
    [
        "<think></think><answer>800</answer>",
        "<think>想</think><answer> </answer>",
        "<think>想<answer>800</answer></think>",
        "<answer>800</answer><think>想</think>",
        "<think>想</think><answer>800",
        "<think>想</think>800",
        "想</think><answer>800</answer>",
        "<think>想</think><answer>800</answer>再见",
        "好的<think>想</think><answer>800</answer>",
        "<think>想</think>所以<answer>800</answer>",
        "<think>想</think><answer>700</answer><answer>800</answer>",
        "<think>想<think>想</think></think><answer>800</answer>",
    ],
)
def test_a_spoilt_form_earns_nothing_for_form(response: str) -> None:
    """Missing, empty, doubled, nested, out of order, or with words beside it."""
    assert hit("finance_format", response, "800") is None


def test_the_answer_is_marked() -> None:
    """A span shows what was taken for the answer."""
    assert hit("finance_accuracy", SOLUTION, "800") == "800万元"
    assert hit("finance_format", SOLUTION, "800") == "\n800万元\n"


def test_reasoning_is_no_answer() -> None:
    """A right number that was only thought of was not given."""
    response = "<think>答案：800 <answer>800</answer></think><answer>900</answer>"
    assert hit("finance_accuracy", response, "800") is None


@pytest.mark.parametrize(
    ("answer", "reference", "right"),
    [
        ("800万元", "800", True),
        ("0.08亿元", "800万元", True),
        ("1000/1.25=800", "800", True),
        ("800或1250", "800", False),
        ("800, \\boxed{800}, 1250", "800", False),
        ("B，净利率", "B", True),
        ("A或B", "B", False),
        ("AC", "A、C", True),
        ("A", "A、C", False),
        ("正确", "True", True),
        ("1", "True", True),
        ("False", "True", False),
        ("净利率。", "净利率", True),
        ("毛利率", "净利率", False),
        ("800", "某公司2022年营收为800万元", False),
        ("800万元", "某公司2022年营收为800万元", True),
        ("1", "市净率低于1意味着股价低于每股净资产，股票可能被低估", False),
        ("800", "", False),
        ("", "", False),
    ],
)
def test_an_answer_is_compared_as_what_the_reference_is(
    answer: str, reference: str, right: bool
) -> None:
    """A number with numbers, letters with letters, a yes with a yes, words with words."""
    assert is_right(answer, reference) is right


def test_the_tolerance_comes_from_the_rubric() -> None:
    """In hundredths of a percent; 0.2 % where the rubric does not say."""
    response = "<answer>801</answer>"
    assert hit("finance_accuracy", response, "800") == "801"
    assert hit("finance_accuracy", response, "800", 20) == "801"
    assert hit("finance_accuracy", response, "800", 10) is None
    assert hit("finance_accuracy", "<answer>800</answer>", "800", 0) == "800"


@pytest.mark.parametrize(
    ("answer", "reference", "rule"),
    [
        ("这叫净利率", "净利率", "finance_keywords"),
        ("净利率", "净利率", "finance_accuracy"),
        ("看流动性和安全性", "流动性；安全性", "finance_keywords"),
        ("800万元", "800", "finance_accuracy"),
        ("毛利率", "净利率", None),
        ("选 B 项，净利率", "B", "finance_accuracy"),
    ],
)
def test_words_and_results_are_never_paid_twice(
    answer: str, reference: str, rule: str | None
) -> None:
    """At most one of the two rules about the answer is hit."""
    response = f"<answer>{answer}</answer>"
    names = ("finance_accuracy", "finance_keywords")
    assert [name for name in names if hit(name, response, reference)] == ([rule] if rule else [])


@given(
    response=st.lists(
        st.sampled_from(
            [
                "<think>",
                "</think>",
                "<answer>",
                "</answer>",
                "\\boxed{",
                "}",
                "8",
                "00",
                "万元",
                "%",
                "\n",
                "，",
            ]
        ),
        max_size=16,
    ).map("".join),
    reference=st.sampled_from(
        ["800", "800万元", "8%", "B", "True", "净利率", "流动性；安全性", ""]
    ),
)
def test_every_reward_lies_in_its_range(response: str, reference: str) -> None:
    """Whatever the tags, no rule fails, spans can be marked, and the reward is in [0, 1]."""
    case = Case(QUESTION, response, reference)
    for found in registry.apply(SHELF.get("finance").file.rules, case):
        assert found.span is not None
        assert 0 <= found.span[0] < found.span[1] <= len(response)
    assert 0.0 <= reward(response, reference) <= 1.0
