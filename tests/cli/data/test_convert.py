"""Laws of `galen data convert`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from typer.testing import CliRunner

from cli.main import app
from trainer.data.reader import DataFile

PERSONA = "你是一个医学专家，你需要根据用户的问题，给出带有思考的回答。"
SHARED = Path(__file__).parents[4] / "shared" / "data"
TURNS = [{"from": "human", "value": "头痛？"}, {"from": "gpt", "value": "多休息。"}]


def convert(*words: object) -> Result:
    return CliRunner().invoke(app, ["data", "convert", *map(str, words)])


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def test_every_row_is_written_and_the_next_step_named(tmp_path: Path) -> None:
    """Status 0; the summary names what IN was taken for."""
    source, out = tmp_path / "in.json", tmp_path / "new" / "out.jsonl"
    source.write_text(json.dumps([{"conversations": TURNS}]), "utf-8")
    result = convert(source, out, "--to", "alpaca")
    assert result.exit_code == 0, result.output
    assert "sharegpt; JSON array, UTF-8" in result.output
    assert f"galen data show {out}" in result.output
    assert lines(out) == [{"instruction": "头痛？", "input": "", "output": "多休息。"}]


def test_what_the_format_cannot_hold_is_named_by_row(tmp_path: Path) -> None:
    """Status 1; the other rows are written."""
    source, out = tmp_path / "in.jsonl", tmp_path / "out.json"
    rows: list[dict[str, Any]] = [{"text": "a document"}, {"conversations": TURNS}]
    source.write_text("\n".join(map(json.dumps, rows)), "utf-8")
    result = convert(source, out, "--to", "messages")
    assert result.exit_code == 1
    assert f"{source}: line 1: messages has no place for a document" in result.output
    assert len(json.loads(out.read_text("utf-8"))) == 1


def test_what_is_lost_is_told(tmp_path: Path) -> None:
    """A column whose name the other format uses, and keys of turns that no format knows."""
    source = tmp_path / "in.jsonl"
    turn = {"role": "user", "content": "q", "weight": 0}
    source.write_text(json.dumps({"messages": [turn], "input": "old"}), "utf-8")
    result = convert(source, tmp_path / "out.jsonl", "--to", "rows")
    assert result.exit_code == 0
    assert "column `input` is left out" in result.output
    assert "`weight` of the turns is left out" in result.output


@pytest.mark.parametrize(
    ("source", "out", "said"),
    [
        ("none.jsonl", "out.jsonl", "no such file"),
        ("in.jsonl", "out.csv", "name it with one of these endings: .jsonl, .json"),
        ("in.jsonl", "in.jsonl", "would be written over itself"),
    ],
)
def test_an_unusable_file_ends_it_with_2(tmp_path: Path, source: str, out: str, said: str) -> None:
    """And the input stays as it was."""
    (tmp_path / "in.jsonl").write_text('{"text": "t"}', "utf-8")
    result = convert(tmp_path / source, tmp_path / out, "--to", "text")
    assert (result.exit_code, said in result.output) == (2, True), result.output
    assert [path.name for path in tmp_path.iterdir()] == ["in.jsonl"]


def test_rows_with_different_system_messages_are_read_as_they_were_written(tmp_path: Path) -> None:
    """`rows` is recognised without one instruction for the whole file."""
    source, out = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    rows = [{"conversations": TURNS, "system": name} for name in ("a", "b")]
    source.write_text("\n".join(map(json.dumps, rows)), "utf-8")
    assert convert(source, out, "--to", "rows").exit_code == 0
    assert list(DataFile(out).examples()) == list(DataFile(source).examples())


def test_the_oracle_of_a_real_converter(tmp_path: Path) -> None:
    """120 of 120 rows with a separate thought become what their publishers made of them."""
    source, out = SHARED / "delicate_raw.jsonl", tmp_path / "out.jsonl"
    if not source.exists():
        pytest.skip("the real samples are not beside this checkout (../shared/data)")
    assert convert(source, out, "--to", "rows", "--system", PERSONA).exit_code == 0
    expected = lines(SHARED / "delicate_expected.jsonl")
    fields = ("instruction", "input", "output")
    same = [
        all("".join(made[each].split()) == "".join(row[each].split()) for each in fields)
        for made, row in zip(lines(out), expected, strict=True)
    ]
    assert same == [True] * 120
