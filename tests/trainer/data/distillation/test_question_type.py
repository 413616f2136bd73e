"""Laws of the question types, on labelled questions of our own and on real ones."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainer.data.distillation import question_type
from trainer.data.distillation.question_type import TYPES

LABELLED = Path(__file__).with_name("question_types.jsonl")
SHARED = Path(__file__).parents[5] / "shared" / "data"


def labelled(part: str) -> Iterator[tuple[str, str]]:
    for line in LABELLED.read_text("utf-8").splitlines():
        row = json.loads(line)
        if row["part"] == part:
            yield row["question"], row["type"]


@pytest.mark.parametrize(("part", "least"), [("tuned", 0.95), ("held", 0.85)])
def test_labelled_questions_get_their_type(part: str, least: float) -> None:
    """Of 60 questions that the rules were tuned on, and of 60 that they were not."""
    rows = list(labelled(part))
    right = sum(question_type.of(text).type == label for text, label in rows)
    assert len(rows) == 60
    assert right >= least * len(rows)


@pytest.mark.parametrize(
    ("name", "least"), [("finance_computing.json", 0.98), ("finance_r1_graded.json", 0.95)]
)
def test_real_calculations_are_found(name: str, least: float) -> None:
    """Questions behind a whole report or table, all of which ask for a number."""
    path = SHARED / name
    if not path.is_file():
        pytest.skip(f"{path} is not here: sample data for local runs")
    texts = [
        row["instruction"] if "instruction" in row else f"{row['context']}\n{row['question']}"
        for row in json.loads(path.read_text("utf-8"))
    ]
    found = [question_type.of(text).type for text in texts]
    assert found.count("calculation") >= least * len(texts)


@pytest.mark.parametrize(
    ("question", "type"),
    [
        ("什么是市盈率？如何计算？", "concept"),
        ("甲公司营收100亿元。请分析其原因。", "analysis"),
        ("市盈率为（　）。 A. 15 B. 18 C. 20 D. 24 已知市价24元", "calculation"),
        ("正确的是 A. 国债免税 B. 股票免税 C. 都不免税", "reasoning"),
        ("A. Smith sold 5 shares. Why did the price fall?", "analysis"),
        ("", "concept"),
    ],
)
def test_the_asking_sentence_decides(question: str, type: str) -> None:
    """Not the numbers in the report before it, and not an initial that looks like an option."""
    assert question_type.of(question).type == type


@given(st.text(alphabet="计算多少是否什么A.B12，。？?\n 公司"))
def test_any_text_has_a_type_and_a_reason(text: str) -> None:
    """Whatever stands in a file."""
    found = question_type.of(text)
    assert found.type in TYPES
    assert found.reason
