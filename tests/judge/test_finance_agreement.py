"""Verdicts on real answers, beside those of the official grader of their benchmark.

The data lies beside the project, not in it. Run with `-rP` to see the figures.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from judge.finance.amounts import readings
from judge.finance.quantity import agree
from judge.finance.stated_answer import final_answer
from judge.rules.finance import is_right


def sample(root: Path, name: str) -> Any:
    path = root.parent / "shared" / "data" / name
    if not path.is_file():
        pytest.skip(f"the sample {name} is not beside this checkout (../shared/data)")
    return json.loads(path.read_text("utf-8"))


@pytest.fixture
def graded(root: Path) -> list[dict[str, Any]]:
    """Answers of DeepSeek-R1 with the official grader's extraction and verdict."""
    rows: list[dict[str, Any]] = sample(root, "finance_r1_graded.json")
    assert len(rows) >= 100
    return rows


def test_verdicts_on_extracted_answers_agree(graded: list[dict[str, Any]]) -> None:
    """At least 99 in 100 verdicts are the official grader's, and as many wrong ones as right."""
    differing = [
        (row["question_id"], row["ground_truth"], row["result"])
        for row in graded
        if is_right(row["result"]["extracted_answer"], str(row["ground_truth"]))
        != bool(row["result"]["acc"])
    ]
    print(f"extracted answers: {len(graded) - len(differing)} of {len(graded)} verdicts agree")
    assert len(differing) <= 0.01 * len(graded), differing


def test_verdicts_on_whole_outputs_agree(graded: list[dict[str, Any]]) -> None:
    """The same holds when the answer is found in the model's own words."""
    differing = []
    for row in graded:
        stated = final_answer(row["output"])
        right = stated is not None and is_right(stated.text, str(row["ground_truth"]))
        if right != bool(row["result"]["acc"]):
            differing.append((row["question_id"], row["ground_truth"], stated and stated.text))
    print(f"whole outputs: {len(graded) - len(differing)} of {len(graded)} verdicts agree")
    assert len(differing) <= 0.01 * len(graded), differing


def test_every_worked_solution_in_chinese_states_an_amount(root: Path) -> None:
    """All of the solutions `a-b/(1+c)=d` are read, and as the right side of their last equation."""
    outputs = [row["output"] for row in sample(root, "finance_computing.json")]
    assert [text for text in outputs if len(readings(text)) != 1] == []
    (last,) = readings("9728÷〔42371-9728〕=29.8% | 29.8%- 4.4% = 25.4%")
    assert last.written == 25.4


def test_worked_derivations_in_english_come_to_their_answers(root: Path) -> None:
    """Where a derivation can be worked out, it gives the published answer, 99 times in 100."""
    questions = [q for page in sample(root, "tatqa_dev.json") for q in page["questions"]]
    read = right = 0
    for question in questions:
        if question["answer_type"] != "arithmetic":
            continue
        known = readings(str(question["answer"]) + "%" * (question["scale"] == "percent"))
        for quantity in readings(question["derivation"])[:1]:
            read += 1
            right += any(agree(quantity, answer, 0.01) for answer in known)
    print(f"derivations: {read} read, {right} come to the published answer")
    assert read >= 600
    assert right >= 0.95 * read
