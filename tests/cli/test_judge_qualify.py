"""Laws of `galen judge qualify`, held with a judge that runs the mock."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cli.main import app
from judge.settings import JudgeSettings
from tests.fakes.served_judge import served

LABELS = "data/judge/labels.jsonl"


@pytest.fixture(scope="module")
def judge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with pytest.MonkeyPatch.context() as environment:
        environment.delenv("DEEPSEEK_API_KEY", raising=False)
        folder = tmp_path_factory.mktemp("judge")
        with served(JudgeSettings(database_url=f"sqlite:///{folder / 'j.sqlite3'}")) as url:
            yield url


@pytest.fixture(autouse=True)
def _at_the_root(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(root)


def told(judge: str, out: Path, *options: str) -> str:
    words = ["judge", "qualify", LABELS, "--judge", judge, "--out", str(out), *options]
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 0, result.output
    return result.output


def facts(out: Path) -> dict[str, object]:
    found = json.loads((out / "qualification.json").read_text("utf-8"))
    assert isinstance(found, dict)
    return found


def test_the_mock_is_examined_and_does_not_pass(judge: str, tmp_path: Path) -> None:
    """It knows no medicine: the report says so, calls itself a rehearsal, and what comes next; and
    `--once` leaves it at that."""
    printed = told(judge, tmp_path / "a")
    assert "teacher           mock under medical-safety: not passed" in printed
    assert "rehearsal: mock" in printed
    assert "Next:   set DEEPSEEK_API_KEY" in printed
    assert "never a diagnosis" in printed
    assert facts(tmp_path / "a")["kept_by_the_judge"] is True
    again = told(judge, tmp_path / "b", "--once")
    assert (
        again.strip() == "teacher           mock under medical-safety: not passed (examined before)"
    )
    assert not (tmp_path / "b").exists()


def test_a_part_of_the_labels_is_a_try(judge: str, tmp_path: Path) -> None:
    """The judge is not told of it, and the next step is the whole."""
    printed = told(judge, tmp_path, "--limit", "5", "--rubric", "medical")
    assert "a trial on part of the labels" in printed
    assert f"Next:   galen judge qualify {LABELS} --rubric medical" in printed
    assert facts(tmp_path)["kept_by_the_judge"] is False
    assert "examined before" not in told(
        judge, tmp_path, "--once", "--limit", "5", "--rubric", "medical"
    )


def test_a_rubric_without_a_teacher_is_left_alone_with_once(judge: str, tmp_path: Path) -> None:
    """As a stack's step it has nothing to do."""
    printed = told(judge, tmp_path, "--once", "--rubric", "finance")
    assert "asks no teacher" in printed
