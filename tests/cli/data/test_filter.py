"""`galen data filter` with the judge's own rules and a judge that is served."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from cli.data import app
from galen.errors import Conflict
from judge.settings import JudgeSettings
from tests.fakes.served_judge import served


def galen(*arguments: str | Path) -> Result:
    words = ["filter", *map(str, arguments)]
    return CliRunner().invoke(app, words, catch_exceptions=False)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "in.jsonl"
    answer = "<think>\n三加五等于八，单位是元。\n</think>\n\n<answer>8元</answer>"
    rows = [
        {"instruction": f"{n}号账户有3元和5元，共多少元？", "output": answer, "gold": gold}
        for n, gold in enumerate(["8", "8元", "9", "8"])
    ]
    path.write_text("".join(json.dumps(each) + "\n" for each in rows), "utf-8")
    return path


def test_the_rules_need_no_judge(source: Path, tmp_path: Path) -> None:
    """What went where, and why, is shown as a table."""
    done = galen(source, "--out", tmp_path / "out", "--no-judge")
    said = [line.split() for line in done.stdout.splitlines()]
    assert [line[0] for line in said[:4]] == [
        "sft.jsonl",
        "rl.jsonl",
        "test.jsonl",
        "dropped.jsonl",
    ]
    assert sum(int(line[1]) for line in said[:4]) == 4
    assert "good: 3" in done.stdout
    assert "the answer is not the right one: 1" in done.stdout


def test_the_judge_is_asked_over_http(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A mock is refused unless it is allowed; its name stands in the figures."""
    monkeypatch.delenv("DEEPSEEK_API_KEY", raising=False)
    settings = JudgeSettings(database_url=f"sqlite:///{tmp_path / 'judge.sqlite3'}", readers=0)
    with served(settings) as url:
        with pytest.raises(Conflict, match="mock"):
            galen(source, "--out", tmp_path / "out", "--judge", url)
        galen(source, "--out", tmp_path / "out", "--judge", url, "--allow-mock", "--least", "0")
    stats = json.loads((tmp_path / "out" / "filter_stats.json").read_text("utf-8"))
    assert stats["judge"]["provider"] == "mock"
    assert set(stats["mean_scores"]) == {
        *("clarity", "accuracy", "completeness", "concision", "overall")
    }
