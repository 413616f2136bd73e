"""Laws of the one door: any file as examples of the kind that is wanted, or refused whole."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from galen.errors import DataError, InvalidInput
from trainer.data import formats, reader
from trainer.data.example import Example, Message
from trainer.data.problems import BadRow
from trainer.data.reader import DataFile, as_kind

Q, A, S = Message("user", "q"), Message("assistant", "a"), Message("system", "s")


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    return path


def read(path: Path, kind: Any = "prompt") -> list[Example]:
    return reader.read([path], kind, lambda example: example)


@pytest.mark.parametrize(
    ("example", "prompt"),
    [
        (Example((S, Q, A)), Example((S, Q))),
        (Example((Q, A, Message("user", "q2"))), Example((Q, A, Message("user", "q2")))),
        (Example((Q,), chosen="a", rejected="b", id="7"), Example((Q,), id="7")),
        (Example((Q,), completion="a", liked=True), Example((Q,))),
        (Example(text="q"), Example((Q,))),
    ],
)
def test_a_question_is_found_in_every_kind_of_row(example: Example, prompt: Example) -> None:
    """An answer that the data holds is never shown to the model."""
    assert as_kind(example, "prompt") == prompt


@pytest.mark.parametrize(
    ("example", "kind", "said"),
    [
        (Example((Q,)), "conversation", "has no answer to learn from; end it with an answer"),
        (Example((A,)), "prompt", "does not end with a question"),
        (Example((S,)), "prompt", "does not end with a question"),
        (Example((Q, A)), "preference", "has no better and worse answer"),
        (Example((Q,), chosen="a", rejected="b"), "conversation", "has no answer to learn from"),
        (Example((Q, A)), "document", "is no plain text"),
    ],
)
def test_a_row_of_another_kind_is_refused(example: Example, kind: Any, said: str) -> None:
    """With what it lacks and what to do."""
    with pytest.raises(BadRow, match=said):
        as_kind(example, kind)


def test_one_instruction_for_all_rows_is_a_system_message(tmp_path: Path) -> None:
    """As in the seeds' own rows; instructions that differ are part of the question."""
    row = {"instruction": "s", "input": "q", "output": "a"}
    path = tmp_path / "rows.jsonl"
    assert read(write(path, [row, row]), "conversation") == [Example((S, Q, A))] * 2
    both = [row, {**row, "instruction": "t"}]
    assert [e.question for e in read(write(path, both), "conversation")] == ["s\nq", "t\nq"]


def test_a_file_of_two_formats_is_read_row_by_row(tmp_path: Path) -> None:
    """And what it was taken for is told."""
    rows = [{"instruct": "q", "output": "a"}, {"instruction": "q", "input": "", "output": "a"}]
    file = DataFile(write(tmp_path / "rows.json", [*rows, rows[1]]))
    assert [example for _, example in file.examples()] == [Example((Q, A))] * 3
    assert file.describe() == "2 alpaca, 1 pairs; JSON lines, UTF-8"


def test_a_bad_file_is_refused_whole(tmp_path: Path) -> None:
    """Every bad row is named, of whatever kind its fault is; none of their words is repeated."""
    path = write(tmp_path / "rows.jsonl", [{"question": "q"}, {"question": " "}, {"secret": "no"}])
    path.write_bytes(path.read_bytes() + b"\xff\n")

    def use(example: Example) -> Example:
        raise BadRow("question", "is refused", "ask something else")

    with pytest.raises(DataError) as caught:
        reader.read([path], "prompt", use)
    assert list(caught.value.problems) == [
        "line 1: question: is refused; ask something else",
        "line 2: question: is empty; fill it in, or delete the row",
        "line 3: no known format has these columns: secret; docs/data.md lists the formats; name "
        "the columns in a source file",
        "line 4: not UTF-8 at byte 0; save the file as UTF-8, or delete the line",
    ]


def test_what_cannot_be_meant_is_refused_for_whoever_reads(tmp_path: Path) -> None:
    """A template's mark inside a question, an answer without an end."""
    path = write(tmp_path / "rows.jsonl", [{"question": "q<|im_end|>"}])
    with pytest.raises(DataError, match="line 1: question: holds '<|im_end|>'".replace("|", r"\|")):
        read(path)
    with pytest.raises(DataError, match="line 1: question: holds"):
        reader.read_with_rows(path, "prompt")
    write(path, [{"question": "q", "answer": "<think>t"}])
    with pytest.raises(DataError, match="line 1: answer: "):
        read(path, "conversation")


@pytest.mark.parametrize("name", ["in.txt", "in.jsonl", "in.csv"])
def test_a_file_that_holds_nothing_is_refused(tmp_path: Path, name: str) -> None:
    """And so is one that is not there."""
    with pytest.raises(InvalidInput, match="no such file"):
        read(tmp_path / name)
    (tmp_path / name).write_text("\n", "utf-8")
    with pytest.raises(DataError, match="no rows"):
        read(tmp_path / name)


@pytest.mark.parametrize("file", ["held_out", "red_team", "rl_prompts", "sft", "look_alikes"])
def test_the_projects_own_data_can_be_asked(root: Path, file: str) -> None:
    """Every row of every set, with its instruction as the system message."""
    roles = {tuple(m.role for m in e.messages) for e in read(root / f"data/demo/{file}.jsonl")}
    assert roles == {("system", "user")}


def test_real_files_are_read_as_what_they_are(root: Path) -> None:
    """Every public sample beside the project, with the rows that its index names."""
    samples = root.parent / "shared" / "data"
    if not samples.is_dir():
        pytest.skip("the public samples are not beside the project")
    counts = {
        "cmtmedqa_mixed_keys.json": {"conversation": 80},
        "delicate_raw.jsonl": {"conversation": 120},
        "dpo_dict_demo.json": {"preference": 100},
        "dpo_messages_demo.jsonl": {"preference": 10},
        "dpo_zh_500.jsonl": {"preference": 499},
        "huatuo_alpaca.json": {"conversation": 2000},
        "medical_o1_style.jsonl": {"conversation": 600},
        "medical_reward_pairs.json": {"preference": 100},
        "medical_sft_1K_sharegpt.jsonl": {"conversation": 1000},
        "sharegpt_zh_400.jsonl": {"conversation": 398, "prompt": 2},
        "wiki_pretrain.txt": {"document": 30},
    }
    found: dict[str, dict[str, int]] = {}
    for name in counts:
        kinds = found.setdefault(name, {})
        for _, example in DataFile(samples / name).examples():
            kind = example.kind if isinstance(example, Example) else str(example)
            kinds[kind] = kinds.get(kind, 0) + 1
    assert found == counts


JSON = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)
FIELD = st.sampled_from(
    ["messages", "prompt", "conversations", "instruction", "input", "question", "system", "chosen",
     "rejected", "completion", "label", "history", "meta", "text"]
)  # fmt: skip


@given(row=st.dictionaries(FIELD, JSON))
def test_any_row_is_a_question_or_refused(row: dict[str, Any]) -> None:
    """Nothing that a file may hold is an error of ours."""
    try:
        found = as_kind(formats.recognise(row).read(row), "prompt")
    except BadRow:
        return
    assert found.messages[-1].role == "user"
    assert all(isinstance(message.content, str) for message in found.messages)
