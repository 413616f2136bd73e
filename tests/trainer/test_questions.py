"""Which question a row holds, in every shape that data comes in."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from galen.errors import DataError, InvalidInput
from trainer.questions import Message, QuestionRow, read_questions

USER, TWO = [("user", "q")], [("system", "s"), ("user", "q")]


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"question": "q"}, USER),
        ({"prompt": "q"}, USER),
        ({"prompt": [{"role": "user", "content": "q"}]}, USER),
        ({"instruction": "s", "input": "q"}, TWO),
        ({"instruction": "q"}, USER),
        ({"instruction": "q", "input": ""}, USER),
        ({"instruction": "", "input": "q"}, USER),
        ({"instruction": "s", "input": "q", "output": "gold"}, TWO),
        ({"messages": [{"role": "user", "content": "q"}]}, USER),
        (
            {
                "messages": [
                    {"role": "user", "content": "q"},
                    {"role": "assistant", "content": "gold"},
                ]
            },
            USER,
        ),
        (
            {
                "messages": [
                    {"role": "user", "content": "q1"},
                    {"role": "assistant", "content": "a"},
                    {"role": "user", "content": "q2"},
                ]
            },
            [("user", "q1"), ("assistant", "a"), ("user", "q2")],
        ),
        ({"conversations": [{"from": "human", "value": "q"}]}, USER),
        (
            {
                "system": "s",
                "conversations": [
                    {"from": "human", "value": "q"},
                    {"from": "gpt", "value": "gold"},
                ],
            },
            TWO,
        ),
        ({"messages": [{"role": "user", "content": "q"}], "question": "other"}, USER),
    ],
)
def test_a_row_in_any_shape_is_one_conversation(
    row: dict[str, Any], said: list[tuple[str, str]]
) -> None:
    """It ends with what is asked; an answer that the data holds is never shown to the model."""
    messages = QuestionRow(row).messages()
    assert [(message.role, message.content) for message in messages] == said


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({}, "none of messages"),
        ({"text": "q"}, "none of messages"),
        ({"question": " "}, "question: "),
        ({"question": 7}, "question: "),
        ({"question": "a\x00"}, "question: .*NUL"),
        ({"instruction": "", "input": ""}, "instruction: "),
        ({"instruction": 1, "input": "q"}, "instruction: "),
        ({"messages": []}, "does not end with a question"),
        ({"messages": [{"role": "assistant", "content": "a"}]}, "does not end with a question"),
        ({"messages": [{"role": "system", "content": "s"}]}, "does not end with a question"),
        ({"messages": [{"role": "human", "content": "q"}]}, r"messages\.0\.role"),
        ({"messages": [{"role": "user"}]}, r"messages\.0\.content"),
        ({"messages": "q"}, "none of"),
        ({"conversations": "q"}, "conversations: must be a list"),
        ({"conversations": [{"from": "bot", "value": "q"}]}, r"conversations\.0\.role"),
        ({"conversations": [{"from": ["human"], "value": "q"}]}, r"conversations\.0\.role"),
        ({"conversations": [{"from": "human"}]}, r"conversations\.0\.content"),
    ],
)
def test_a_row_without_a_question_is_refused(row: dict[str, Any], reason: str) -> None:
    """With the field at fault."""
    with pytest.raises(ValidationError, match=reason):
        QuestionRow(row)


def test_a_system_message_goes_before_rows_that_have_none() -> None:
    """One that a row brings is not replaced."""
    plain, own = QuestionRow({"question": "q"}), QuestionRow({"instruction": "s", "input": "q"})
    assert plain.messages("be brief")[0] == Message(role="system", content="be brief")
    assert own.messages("be brief")[0] == Message(role="system", content="s")
    assert len(plain.messages()) == 1


def test_a_text_file_is_one_question_a_line(tmp_path: Path) -> None:
    """Blank lines are none, and a byte order mark is no part of the first."""
    path = tmp_path / "in.txt"
    path.write_bytes("\ufeff头痛怎么办？\r\n\n  发烧呢？\n".encode())
    assert [row.root for row in read_questions(path)] == [
        {"question": "头痛怎么办？"},
        {"question": "发烧呢？"},
    ]


@pytest.mark.parametrize("name", ["in.txt", "in.jsonl"])
def test_a_bad_file_is_refused_whole(tmp_path: Path, name: str) -> None:
    """Every bad line is named with its number."""
    path = tmp_path / name
    good = b'{"question":"q"}\n'
    path.write_bytes(good + b"\xff\n" + good + b"a\x00\n")
    with pytest.raises(DataError) as caught:
        read_questions(path)
    assert [problem.partition(":")[0] for problem in caught.value.problems] == ["line 2", "line 4"]


@pytest.mark.parametrize("name", ["in.txt", "in.jsonl"])
def test_a_file_that_holds_nothing_is_refused(tmp_path: Path, name: str) -> None:
    """And so is one that is not there."""
    with pytest.raises(InvalidInput, match="no such file"):
        read_questions(tmp_path / name)
    (tmp_path / name).write_text("\n", "utf-8")
    with pytest.raises(DataError, match="no rows"):
        read_questions(tmp_path / name)


@pytest.mark.parametrize("file", ["held_out", "red_team", "rl_prompts", "sft", "look_alikes"])
def test_the_projects_own_data_can_be_asked(root: Path, file: str) -> None:
    """Every row of every set."""
    rows = read_questions(root / f"data/demo/{file}.jsonl")
    assert {tuple(m.role for m in row.messages()) for row in rows} == {("system", "user")}


JSON = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)
FIELD = st.sampled_from(
    ["messages", "prompt", "conversations", "instruction", "input", "question", "system", "x"]
)


@given(row=st.dictionaries(FIELD, JSON))
def test_any_row_is_a_question_or_refused(row: dict[str, Any]) -> None:
    """Nothing that a file may hold is an error of ours; what is taken can be sent and written."""
    try:
        found = QuestionRow(row)
    except ValidationError:
        return
    assert found.messages()[-1].role == "user"
    json.dumps(found.root, ensure_ascii=False).encode()
    assert all(message.model_dump_json() for message in found.messages())
