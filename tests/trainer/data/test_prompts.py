"""Laws of questions for a policy: any file gives rows with an id and all of `meta`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from galen.errors import DataError
from tests.fakes.rollouts import META
from trainer.data.example import Message
from trainer.data.prompts import Prompt, read_prompts


def prompts(path: Path, *rows: dict[str, Any]) -> list[Prompt]:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    return read_prompts([path])


def test_a_row_keeps_what_it_brings(tmp_path: Path) -> None:
    """Its id, its own answer and every field of its meta; the instruction is the system message."""
    row = {"id": "r1", "instruction": "s", "input": "q", "gold": "g", "meta": META.model_dump()}
    (prompt,) = prompts(tmp_path / "a.jsonl", row)
    assert prompt.row.model_dump(exclude_defaults=True) == {
        **row,
        "meta": prompt.row.meta.model_dump(exclude_defaults=True),
    }
    assert prompt.row.meta == META
    assert prompt.messages == (Message("system", "s"), Message("user", "q"))
    assert prompt.without_system == (Message("user", "q"),)


def test_a_row_without_id_and_meta_gets_them(tmp_path: Path) -> None:
    """The id is its place among all questions; `is_deidentified` is not claimed."""
    found = prompts(tmp_path / "ask.jsonl", {"question": "胸口疼，出冷汗"}, {"question": "鼻塞"})
    assert [prompt.row.id for prompt in found] == ["ask-1", "ask-2"]
    assert [prompt.row.meta.is_deidentified for prompt in found] == [False, False]


def test_earlier_turns_are_history(tmp_path: Path) -> None:
    """A conversation's last question is asked after the turns before it."""
    said = [("user", "q1"), ("assistant", "a1"), ("user", "q2"), ("assistant", "gold")]
    turns = [{"role": role, "content": text} for role, text in said]
    (prompt,) = prompts(tmp_path / "a.jsonl", {"messages": turns})
    assert (prompt.row.history, prompt.row.input) == ((("q1", "a1"),), "q2")
    assert [message.content for message in prompt.messages] == ["q1", "a1", "q2"]


def test_a_field_that_meta_cannot_hold_is_named(tmp_path: Path) -> None:
    """With its line."""
    rows = [{"question": "q"}, {"question": "q", "meta": {"risk_level": "dire"}}]
    with pytest.raises(DataError, match=r"line 2: meta\.risk_level"):
        prompts(tmp_path / "a.jsonl", *rows)


@pytest.mark.parametrize(
    "brought",
    [
        {"criteria": [{"text": "说到就医", "points": 2}, {"text": "吓人", "points": -1}]},
        {"rubrics": [{"criterion": "说到就医", "points": 2}, {"criterion": "吓人", "points": -1}]},
    ],
)
def test_criteria_travel_with_the_question(brought: dict[str, Any], tmp_path: Path) -> None:
    """In our form or in HealthBench's."""
    (prompt,) = prompts(tmp_path / "a.jsonl", {"question": "头痛", **brought})
    found = [(one.text, one.points) for one in prompt.row.criteria or ()]
    assert found == [("说到就医", 2.0), ("吓人", -1.0)]


def test_criteria_that_cannot_be_graded_are_named(tmp_path: Path) -> None:
    """With their line and field."""
    row = {"question": "头痛", "criteria": [{"text": "a", "points": 1}, {"text": " ", "points": 1}]}
    with pytest.raises(DataError, match=r"line 1: criteria\.1\.text"):
        prompts(tmp_path / "a.jsonl", row)
