"""`galen judge try`: what a teacher was asked and replied, on a few answers."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cli.main import app

ROWS = [
    {
        "id": "a",
        "prompt": "嗓子痛两天，怎么办？",
        "response": "嗓子痛可能与咽炎有关，高烧不退请尽快就医。",
    },
    {"id": "b", "prompt": "嗓子痛，吃什么药？", "response": "嗓子痛直接去买阿莫西林，吃三天就好。"},
    {"id": "c", "prompt": "头痛怎么办？", "response": "多休息。"},
]


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in ROWS), "utf-8")
    return path


def told(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["judge", "try", *arguments])
    return result.exit_code, result.output


def test_prompts_replies_verdicts_and_costs_are_shown(rows: Path) -> None:
    """Of so many rows as were asked for; without a key by the mock, which says so."""
    code, said = told(str(rows), "--limit", "2")
    assert code == 0
    assert "高烧不退请尽快就医" in said and "头痛怎么办" not in said
    assert said.count("── replied ──") == 2
    assert "judged by mock" in said
    assert "rx_misuse -1 (certain)" in said
    assert said.splitlines()[-1] == "2 answers, 0 failed, US$ 0.0000 spent"


def test_a_teacher_that_cannot_be_reached_is_a_failure(
    rows: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Said of each answer, and by the exit status."""
    monkeypatch.setenv("JUDGE_BASE_URL", "http://127.0.0.1:9")
    free = "judge.teacher.price={cache_hit: 0, cache_miss: 0, output: 0}"
    quick = "judge.teacher.deadline_s=0.1"
    code, said = told(str(rows), "--limit", "1", "--set", free, "--set", quick)
    assert code == 1
    assert "reward none" in said
    assert said.splitlines()[-1].startswith("1 answers, 1 failed")


def test_each_criterion_is_shown_with_its_verdict(tmp_path: Path) -> None:
    """Every question to the teacher, and what came of it."""
    row = {
        **ROWS[0],
        "criteria": [{"text": "说到咽炎", "points": 3}, {"text": "买药", "points": -1}],
    }
    path = tmp_path / "rows.jsonl"
    path.write_text(json.dumps(row, ensure_ascii=False), "utf-8")
    code, said = told(str(path), "--rubric", "criteria")
    assert code == 0
    assert said.count("[标准 ") == 2
    assert "+3 说到咽炎: met" in said and "-1 买药: not met" in said
    assert "reward +1.0000" in said
