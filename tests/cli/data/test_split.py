"""Laws of `galen data split` and `galen data rl-prompts`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from typer.testing import CliRunner

from cli.data import app
from galen.records import PromptRow, Row, read_jsonl

DEMO = Path(__file__).parents[3] / "data" / "demo"


def run(*words: Any) -> tuple[int, str]:
    done = CliRunner().invoke(app, [str(word) for word in words])
    return done.exit_code, done.output


def write(path: Path, rows: list[Any]) -> Path:
    path.write_text("".join(f"{json.dumps(row, ensure_ascii=False)}\n" for row in rows), "utf-8")
    return path


def test_every_row_is_in_one_part_with_its_meta(tmp_path: Path) -> None:
    """Rows without meta get it, each is in train, dev or test, and gold is out of dev and test."""
    rows = [json.loads(line) for line in (DEMO / "sft.jsonl").read_text("utf-8").splitlines()]
    bare = [{name: row[name] for name in ("instruction", "input", "output")} for row in rows]
    code, said = run("split", write(tmp_path / "a.jsonl", bare), "--out", tmp_path, "--gold", 5)
    assert code == 0, said
    parts = {name: read_jsonl(tmp_path / f"{name}.jsonl", Row) for name in ("train", "dev", "test")}
    asked = [row.input for part in parts.values() for row in part]
    assert sorted(asked) == sorted(row["input"] for row in rows)
    gold = read_jsonl(tmp_path / "gold.jsonl", Row)
    assert len(gold) == 5
    assert {row.input for row in gold} <= {row.input for row in (*parts["dev"], *parts["test"])}


def test_rows_of_a_test_set_are_left_out_and_named(tmp_path: Path) -> None:
    """A row that shares a run with a test set is in no part; the report says where it was."""
    asked = "三岁孩子发烧三十九度半反复三天精神还可以怎么办"
    rows = [{"prompt": "鼻塞怎么办", "response": "多喝水"}, {"prompt": asked, "response": "就医"}]
    test = write(tmp_path / "exam.jsonl", [{"question": f"请问：{asked}？"}])
    source = write(tmp_path / "a.jsonl", rows)
    code, said = run("split", source, "--out", tmp_path / "o", "--against", test)
    assert (code, "1 rows share a run with exam" in said) == (0, True), said
    (hit,) = map(json.loads, (tmp_path / "o" / "contamination.jsonl").read_text().splitlines())
    assert (hit["file"], hit["place"], hit["test_set"]) == ("a.jsonl", "line 2", "exam")
    assert asked not in (tmp_path / "o" / "train.jsonl").read_text("utf-8")


def test_a_bad_row_is_named_and_a_bad_file_refused(tmp_path: Path) -> None:
    """A row that cannot be read ends the command with 1, a file that is not there with 2."""
    source = write(tmp_path / "a.jsonl", [{"prompt": "咳嗽", "response": "喝水"}, 5])
    code, said = run("split", source, "--out", tmp_path / "o")
    assert (code, "line 2" in said) == (1, True)
    assert run("split", tmp_path / "none.jsonl", "--out", tmp_path / "o")[0] == 2


def test_rl_prompts_hold_the_red_team_three_times(tmp_path: Path) -> None:
    """The demo's questions become prompts that PPO reads, with the statistics beside them."""
    out = tmp_path / "rl.jsonl"
    red = DEMO / "red_team.jsonl"
    words = ("rl-prompts", DEMO / "rl_prompts.jsonl", "--out", out, "--red-team", red)
    code, said = run(*words, "--rows", 150)
    assert code == 0, said
    rows = read_jsonl(out, PromptRow)
    assert len({row.id for row in rows}) == len(rows)
    asked = [row.input for row in rows]
    assert {asked.count(row.input) for row in read_jsonl(red, PromptRow)} == {3}
    assert "red team" in said
    assert out.with_suffix(".png").is_file()
