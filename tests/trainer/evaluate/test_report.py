"""Laws of a comparison as people read it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from galen import DISCLAIMER_EN
from trainer.evaluate.report import ComparisonReport, Side
from trainer.evaluate.statistics import Interval


@pytest.fixture
def report(tmp_path: Path) -> ComparisonReport:
    return ComparisonReport(
        folder=tmp_path,
        baseline=Side("base", [0.0, 0.5], [0.5, 0.5], completions=8, failed=1),
        candidate=Side("r-0004-abcdef01", [0.5, 1.0], [0.0, 0.25], completions=8, failed=0),
        reward_difference=Interval(0.5, 0.4, 0.6),
        violation_difference=Interval(-0.375, -0.5, -0.25),
        wins=2,
        ties=0,
        losses=0,
        rubric="medical-safety",
        rubric_sha256="a" * 64,
        provider="teacher.example",
    )


def test_a_side_is_the_mean_over_its_prompts(report: ComparisonReport) -> None:
    """Each prompt counts once, however many of its completions were judged."""
    assert (report.baseline.reward, report.candidate.reward) == (0.25, 0.75)
    assert (report.baseline.violation_rate, report.candidate.violation_rate) == (0.5, 0.125)


def test_the_summary_gives_both_sides_the_interval_and_the_warning(
    report: ComparisonReport,
) -> None:
    """Means, rates, failures, the interval, the judge and the disclaimer are all there."""
    text = report.summary()
    base, candidate = text.splitlines()[1:3]
    assert base.split() == ["base", "+0.250", "50.0%", "7", "1"]
    assert candidate.split() == ["r-0004-abcdef01", "+0.750", "12.5%", "8", "0"]
    assert "+0.500 [+0.400, +0.600]" in text
    assert "2/0/0" in text
    assert "judge: teacher.example, rubric medical-safety" in text
    assert text.endswith(DISCLAIMER_EN)


def test_a_mock_teacher_is_said_to_be_one(report: ComparisonReport) -> None:
    """Nobody is to take a rehearsal for a result; with a real teacher there is no such line."""
    assert "mock" not in report.summary()
    assert "The teacher is a mock" in replace(report, provider="mock").summary()


def test_numbers_and_picture_are_written(report: ComparisonReport) -> None:
    """comparison.json holds what the summary shows; comparison.png is a picture."""
    report.write()
    facts = json.loads((report.folder / "comparison.json").read_text("utf-8"))
    assert facts["baseline"]["reward_mean"] == 0.25
    assert facts["candidate"]["reward_by_prompt"] == [0.5, 1.0]
    assert facts["reward_difference"] == {"mean": 0.5, "low": 0.4, "high": 0.6}
    assert (facts["prompts"], facts["wins"], facts["provider"]) == (2, 2, "teacher.example")
    assert (report.folder / "comparison.png").read_bytes().startswith(b"\x89PNG")
