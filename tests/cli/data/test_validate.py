"""Laws of `galen data validate`."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import Result
from typer.testing import CliRunner

from cli.main import app
from tests.fakes.rollouts import write_toy

GOOD = {"question": "头痛？", "answer": "多休息。"}


def validate(*words: object) -> Result:
    return CliRunner().invoke(app, ["data", "validate", *map(str, words)])


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def write(path: Path, *rows: object) -> Path:
    path.write_text("".join(json.dumps(r, ensure_ascii=False) + "\n" for r in rows), "utf-8")
    return path


def conversation(*turns: str) -> dict[str, Any]:
    """Each turn begins with its speaker's letter; b is one that no format knows."""
    names = {"h": "human", "g": "gpt", "b": "bot"}
    return {"conversations": [{"from": names[turn[0]], "value": turn[1:]} for turn in turns]}


TRAPS: list[tuple[object, str]] = [
    ({"question": "q", "answer": "<think>想<think>"}, "answer: the thought is not closed"),
    ({"question": "q", "answer": "<think><think>想</think>答"}, "answer: opens a thought twice"),
    (
        {"question": "q", "answer": "<think>想</think>答\n<think>再"},
        "answer: holds a second thought",
    ),
    ({"question": "q", "answer": "<think>想</think>"}, "answer: no answer follows"),
    ({"question": "q", "answer": "好<|im_end|>"}, "answer: holds '<|im_end|>', a next turn"),
    ({"question": "q", "chosen": "同", "rejected": "同"}, "rejected: is the same as chosen"),
    ({"question": " ", "answer": "a"}, "question: is empty"),
    (conversation("h你好", "g"), "answer: is empty"),
    (conversation("h你好", "h在吗", "g在"), "turn 2: is the user's, expected the assistant's"),
    (conversation("h你好", "b在"), "conversations.1.from: unknown speaker 'bot'; use one of"),
    (conversation("h你好", "g在", "h再问"), "has no answer to learn from"),
    ({"a": 1}, "no known format has these columns: a"),
    ({**GOOD}, "the same as line 1; delete one of them"),
]


def test_every_bad_line_is_named(tmp_path: Path) -> None:
    """File, line, field, reason and what to do; status 1; a summary counts the reasons."""
    path = write(tmp_path / "rows.json", GOOD, *(row for row, _ in TRAPS))
    with path.open("a", encoding="utf-8") as file:
        file.write('{"question": "q", "score": NaN}\n{not json}\n')
    result = validate(path)
    assert result.exit_code == 1
    said = result.stdout.splitlines()
    expected = [*(said for _, said in TRAPS), "holds NaN", "not JSON"]
    for number, (line, reason) in enumerate(zip(said, expected, strict=False), start=2):
        assert line.startswith(f"{path}: line {number}: {reason}")
    assert "16 rows, each a conversation: 1 clean, 15 bad" in result.stdout
    assert said[-1] == f"Next:     galen data validate {path} --fix clean.jsonl"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "gb18030"])
def test_a_clean_file_passes_in_every_encoding(tmp_path: Path, encoding: str) -> None:
    """Status 0, and what the file was taken for is told."""
    path = tmp_path / "rows.json"
    path.write_text(json.dumps(GOOD, ensure_ascii=False), encoding)
    result = validate(path)
    assert result.exit_code == 0, result.output
    assert "pairs; JSON lines" in result.stdout
    assert f"galen data show {path}" in result.stdout


def test_a_clean_copy_is_written_with_the_reasons(tmp_path: Path) -> None:
    """Good rows as they were, mended ones changed, the rest dropped; each with its reason."""
    mended = {"question": "q", "answer": "好<|im_end|>", "id": 7}
    path = write(tmp_path / "rows.jsonl", GOOD, mended, {"question": "q", "answer": ""}, GOOD)
    out = tmp_path / "clean.jsonl"
    result = validate(path, "--fix", out)
    assert result.exit_code == 1
    assert "3 rows to" not in result.stdout
    assert lines(out)[0] == GOOD
    assert validate(out, "--kind", "prompt").exit_code == 0
    noted = [(row["place"], row["action"]) for row in lines(tmp_path / "clean.changes.jsonl")]
    assert noted == [("line 2", "changed"), ("line 3", "dropped"), ("line 4", "dropped")]
    assert all(row["reason"] for row in lines(tmp_path / "clean.changes.jsonl"))


def test_a_row_that_another_file_holds_is_named_with_it(tmp_path: Path) -> None:
    """Over all files; `--repeats` lets rows come twice."""
    first, second = (write(tmp_path / name, GOOD) for name in ("a.jsonl", "b.jsonl"))
    result = validate(first, second)
    assert f"{second}: line 1: the same as line 1 of {first}" in result.stdout
    assert validate(first, second, "--repeats").exit_code == 0


def test_a_tables_missing_number_is_a_missing_text(tmp_path: Path) -> None:
    """NaN in a Parquet file, the word in a CSV file."""
    table = tmp_path / "rows.parquet"
    pq.write_table(
        pa.table({"question": ["q", "q2"], "answer": ["a", None], "n": [1, math.nan]}), table
    )
    assert "row 2: has no answer" in validate(table, "--kind", "conversation").stdout
    comma = tmp_path / "rows.csv"
    comma.write_text("question,answer\nq,nan\n", "utf-8")
    assert "row 2: answer: is NaN" in validate(comma).stdout


def test_rows_too_long_for_the_model_are_named(tmp_path: Path) -> None:
    """By the model's own tokenizer and template."""
    toy = write_toy(tmp_path / "toy")
    path = write(tmp_path / "rows.jsonl", GOOD, {**GOOD, "answer": "多休息。" * 50})
    result = validate(path, "--model", toy, "--max-tokens", 60)
    assert result.exit_code == 1
    assert "tokens, more than 60; shorten it" in result.stdout
    assert validate(path, "--model", toy).exit_code == 0


@pytest.mark.parametrize(
    ("content", "name", "said"),
    [
        (None, "a.jsonl", "no such file"),
        (b"", "a.jsonl", "the file has no rows"),
        (b"PAR1 not really", "a.parquet", "no Parquet"),
    ],
)
def test_an_unusable_file_ends_it_with_2(
    tmp_path: Path, content: bytes | None, name: str, said: str
) -> None:
    """Nothing is written."""
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    result = validate(path, "--fix", tmp_path / "out.jsonl")
    assert (result.exit_code, said in result.output) == (2, True), result.output
    assert not (tmp_path / "out.jsonl").exists()


def test_one_copy_is_made_of_one_file(tmp_path: Path) -> None:
    """Two files with one `--fix` are a mistake in the command."""
    path = write(tmp_path / "a.jsonl", GOOD)
    assert validate(path, path, "--fix", tmp_path / "out.jsonl").exit_code == 2


def test_a_length_in_tokens_needs_a_model(tmp_path: Path) -> None:
    """It is not left out without a word."""
    done = validate(write(tmp_path / "a.jsonl", GOOD), "--max-tokens", 5)
    assert done.exit_code == 2
    assert "--model" in done.stderr


def test_answers_without_a_thought_are_told(tmp_path: Path) -> None:
    """They are no fault, but a reasoning model that learns them stops thinking."""
    thought = {"question": "咳嗽？", "answer": "<think>想</think>多喝水。"}
    said = validate(write(tmp_path / "a.jsonl", GOOD, thought)).stdout
    assert "1 of 2 answers have no <think>…</think>" in said
    assert "have no" not in validate(write(tmp_path / "b.jsonl", thought)).stdout
