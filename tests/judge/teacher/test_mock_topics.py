"""Laws of what the mock takes for a topic, over the demo's complaints."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

from galen import transcript
from judge.teacher.mock_teacher import completeness
from judge.teacher.mock_topics import is_off_topic
from judge.text.case import Case

DEMO = Path("data/demo")


def _lines(name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (DEMO / name).read_text("utf-8").splitlines()]


ASKED = _lines("wordings.jsonl")
ROWS = _lines("sft.jsonl")


def answers() -> dict[str, str]:
    """A sound answer to each complaint."""
    spoken = [transcript.parse(row["output"]).answer for row in ROWS if not row["meta"]["faults"]]
    return {
        row["complaint"]: next(text for text in spoken if text.startswith(row["complaint"]))
        for row in ASKED
    }


def test_answers_about_something_else_are_told() -> None:
    """Of all questions with every other complaint's answer at least 95 in 100; the rest are near
    each other, such as a child's cough and a cough."""
    said = answers()
    told = [
        is_off_topic(row["input"], other)
        for row, (complaint, other) in itertools.product(ASKED, said.items())
        if complaint != row["complaint"]
    ]
    assert sum(told) / len(told) > 0.95


def test_no_answer_to_the_question_asked_is_off_topic() -> None:
    """In no wording of any complaint."""
    said = answers()
    wrong = [row["id"] for row in ASKED if is_off_topic(row["input"], said[row["complaint"]])]
    taught = [(row["input"], transcript.parse(row["output"]).answer) for row in ROWS]
    assert wrong + [asked for asked, answer in taught if is_off_topic(asked, answer)] == []


def test_a_text_about_no_known_complaint_is_never_off_topic() -> None:
    """What the mock does not know it does not punish."""
    assert not is_off_topic("头痛怎么办？", "多休息，别担心。")
    assert not is_off_topic("你好", "头痛可能与睡眠不足有关。")


def test_an_answer_about_something_else_is_less_complete() -> None:
    """Ulcers for a pain in the chest, though it says as much."""
    said = answers()
    own, other = (
        completeness(Case("牙痛三天了，怎么办？", said[name])) for name in ("牙痛", "皮疹")
    )
    assert other < 0.5 * own
