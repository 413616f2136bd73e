"""Laws of a run's report."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from galen import DISCLAIMER_EN, DISCLAIMER_ZH
from tests.trainer.test_history import write_run
from trainer.run_report import charts, page


def write_batch(folder: Path, number: int, *answers: tuple[str, str, float | None]) -> None:
    """A batch's completions: prompt, completion, reward."""
    (folder / "completions").mkdir(exist_ok=True)
    rows: list[dict[str, Any]] = [
        {"prompt": prompt, "completion": said, "reward": reward, "version": f"v{number}"}
        for prompt, said, reward in answers
    ]
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    (folder / "completions" / f"batch-{number:05d}.jsonl").write_text(lines)


def test_the_report_stands_alone_and_disclaims(tmp_path: Path) -> None:
    """It loads nothing from anywhere, so it can be sent to somebody."""
    shown = page.render(write_run(tmp_path, "a", finished=True))
    assert not re.search(r"<(script|link|img|iframe)|@import|url\(http|src=", shown)
    assert "<svg" in shown
    assert DISCLAIMER_ZH in shown
    assert DISCLAIMER_EN in shown


def test_what_a_model_wrote_cannot_become_markup(tmp_path: Path) -> None:
    """A completion is text of a stranger."""
    folder = write_run(tmp_path, "a")
    write_batch(folder, 1, ("<script>ask</script>", "<script>say</script>", 0.5))
    assert "<script>" not in page.render(folder)


def test_the_prompts_that_changed_most_are_shown_early_and_late(tmp_path: Path) -> None:
    """The largest gain first; a failed judgement is no answer with a score."""
    folder = write_run(tmp_path, "a")
    write_batch(folder, 1, ("p", "early p", -1.0), ("q", "early q", 0.5), ("r", "x", None))
    write_batch(folder, 2, ("p", "middle", 0.0))
    write_batch(folder, 3, ("p", "late p", 1.0), ("q", "late q", 0.2), ("r", "y", 1.0))
    shown = page.render(folder).partition("What changed most".lower())[2]
    places = [shown.index(text) for text in ("early p", "late p", "early q", "late q")]
    assert places == sorted(places)
    assert "+2.00" in shown
    assert "-0.30" in shown
    assert ">x<" not in shown


def test_the_best_version_and_the_alarms_are_told_in_words(tmp_path: Path) -> None:
    """Each figure's alarms are one line, however many batches raised them."""
    folder = write_run(tmp_path, "a", finished=True, version="a-2", held_out_reward=0.25)
    best = {"version": "a-1", "batch": 1, "score": 0.5, "by": "held_out_reward"}
    (folder / "best.json").write_text(json.dumps(best))
    raised = ["kl -1 is below", "kl -2 is below; tokens_mean 9 is above", "kl -3 is below"]
    rows = [{"batch": n, "alarm": words} for n, words in enumerate(raised, start=1)]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    shown = page.render(folder)
    for words in (
        "last version: a-2, held_out_reward +0.250",
        "best version: a-1, held_out_reward +0.500, batches learnt: 1",
        "<li>3 batches, 1 to 3: kl -3 is below</li>",
        "<li>batch 2: tokens_mean 9 is above</li>",
    ):
        assert words in shown


def test_a_curve_has_at_least_two_finite_values() -> None:
    """Lost numbers, words and counters of steps are no curves; the reward comes first."""
    rows = [
        {"batch": 1, "kl": 0.1, "version": "a", "odd": float("nan"), "reward_mean": 0.0, "once": 1},
        {"batch": 2, "kl": 0.2, "version": "b", "odd": 1.0, "reward_mean": 0.5},
    ]
    assert list(charts.series(rows).items()) == [
        ("reward_mean", ([1.0, 2.0], [0.0, 0.5])),
        ("kl", ([1.0, 2.0], [0.1, 0.2])),
    ]


def test_the_same_run_gives_the_same_bytes(tmp_path: Path) -> None:
    """So that a report can be compared and kept in a repository."""
    folder = write_run(tmp_path, "a")
    assert page.write(folder).read_bytes() == page.write(folder).read_bytes()
