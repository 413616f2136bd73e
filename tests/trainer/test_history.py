"""Laws of the list of runs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from cli.main import app
from cli.runs import sparkline
from galen.errors import NotFound
from trainer import history


def write_run(runs: Path, name: str, *, step: int | None = None, **manifest: Any) -> Path:
    folder = runs / name
    folder.mkdir(parents=True)
    (folder / "recipe.yaml").write_text("stage: dpo\nmodel: runs/base/final\n")
    (folder / "manifest.json").write_text(json.dumps({"finished": False, **manifest}))
    rows = [{"step": 1, "loss": 2.0}, {"step": 2, "loss": 1.0, "eval_loss": 1.5}]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    if step:
        (folder / "checkpoints" / f"checkpoint-{step}").mkdir(parents=True)
    return folder


def test_a_run_says_where_it_stands(tmp_path: Path) -> None:
    """Finished, stopped at its last checkpoint, or not begun."""
    write_run(tmp_path, "a", finished=True, parent="base", figures={"eval_accuracy": 0.9})
    write_run(tmp_path, "b", step=40)
    write_run(tmp_path, "c")
    found = {card.name: card for card in history.cards(tmp_path)}
    assert {name: card.status for name, card in found.items()} == {
        "a": "finished",
        "b": "stopped at step 40",
        "c": "not begun",
    }
    assert (found["a"].parent, found["b"].parent) == ("base", "runs/base/final")
    assert found["a"].figures == {"eval_loss": 1.5, "eval_accuracy": 0.9, "loss": 1.0}


def test_the_worst_completions_are_those_with_the_lowest_reward(tmp_path: Path) -> None:
    """Of the last batch; one whose judgement failed has no reward and is not among them."""
    folder = write_run(tmp_path, "a") / "completions"
    folder.mkdir()
    rewards = [0.5, None, -1.0, 0.1]
    rows = [{"prompt": "q", "completion": str(r), "reward": r} for r in rewards]
    (folder / "batch-00002.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "batch-00001.jsonl").write_text(json.dumps({"reward": -9.0}) + "\n")
    found = history.worst_completions(tmp_path / "a", most=2)
    assert [row["reward"] for row in found] == [-1.0, 0.1]


def test_a_run_that_is_not_there_is_refused_with_the_nearest_name(tmp_path: Path) -> None:
    """As for every name that a person may mistype."""
    write_run(tmp_path, "demo-sft")
    with pytest.raises(NotFound, match="did you mean demo-sft"):
        history.card(tmp_path / "demo-stf")


def test_the_commands_show_the_list_and_one_run(tmp_path: Path) -> None:
    """Both end with what to type next."""
    write_run(tmp_path, "a", finished=True, steps=2, seconds=7.0)
    listed = CliRunner().invoke(app, ["runs", "--folder", str(tmp_path)])
    assert "finished" in listed.output
    assert listed.output.endswith("Next:    galen runs show a\n")
    shown = CliRunner().invoke(app, ["runs", "show", "a", "--folder", str(tmp_path)])
    assert "steps    2 in 7 s" in shown.output
    assert "█▁  2 → 1" in shown.output
    assert shown.output.endswith("Next:    galen publish run:a\n")


def test_a_curve_is_drawn_from_its_lowest_to_its_highest_value() -> None:
    """Many values share a bar; a flat curve is a line at the bottom."""
    assert sparkline([0.0, 1.0, 0.5]) == "▁█▅"
    assert sparkline([3.0, 3.0]) == "▁▁"
    assert len(sparkline([float(n) for n in range(1000)])) <= 60
