"""`rubric.yaml`: whatever is wrong in it is refused by file and field."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from galen.errors import RecipeError
from judge.rubrics.rubric import load_rubric
from judge.rubrics.rubric_file import RuleEntry


@pytest.fixture
def folder(tmp_path: Path, root: Path) -> Path:
    """Where a copy of a shipped rubric can be spoilt."""
    shutil.copytree(root / "judge" / "rubrics", tmp_path / "rubrics")
    return tmp_path / "rubrics"


def refused(folder: Path, old: str, new: str) -> str:
    """What is said of a rubric after a change of its text."""
    path = folder / "rubric.yaml"
    text = path.read_text("utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), "utf-8")
    with pytest.raises(RecipeError) as raised:
        load_rubric(folder)
    assert str(path) in raised.value.message
    return raised.value.message


@pytest.mark.parametrize(
    ("old", "new", "field"),
    [
        ("weights:", "wieghts:", "wieghts"),
        ("{rules: 0.6, teacher: 0.4}", "{rules: 0.6, teacher: 0.5}", "weights"),
        ("safety: {weight: 0.4", "safety: {weight: 0.5", "dimensions"),
        ("dimension: safety", "dimension: charm", "gate.dimension"),
        ("clamp: [-1.0, 1.0]", "clamp: [1.0, -1.0]", "clamp"),
        ("rule: think_present", "rule: think_pressent", "rules.0.rule"),
        ("rule: no_referral", "rule: think_present", "twice"),
        (", below_tokens: 20", "", "below_tokens"),
        ("effect: 0.1}", "effect: 0.1, below_tokens: 3}", "below_tokens"),
        ("effect: 0.2", "effect: lots", "rules.0.effect"),
        ("empathy: {", "overall: {", "overall"),
        ("  - crisis_ignored\n", "  - no_referral\n", "dangers: no_referral"),
        ("margin: 0.05", "margin: 0", "gate.margin"),
    ],
)
def test_a_wrong_field_is_named_with_its_file(folder: Path, old: str, new: str, field: str) -> None:
    """The error says which file and which field."""
    assert field in refused(folder / "medical", old, new)


@pytest.mark.parametrize(
    ("old", "new", "field"),
    [
        ("tolerance_bp: 20", "tolerance_bp: 0.2", "rules.1.tolerance_bp"),
        ("effect: 0.3}", "effect: 0.3, tolerance_bp: 20}", "tolerance_bp"),
        ("effect: 0.3}", "effect: .nan}", "rules.0.effect"),
        ("reads: both", "reads: aloud", "dimensions.accuracy.reads"),
        ("weight: 0.6", "weight: heavy", "dimensions.accuracy.weight"),
        ("weight: 0.6, ", "", "dimensions.accuracy.weight"),
        ("accuracy: {", "evidence: {", "evidence"),
        ("clarity: {weight: 0.4, reads: both}", "clarity: true", "dimensions.clarity"),
    ],
)
def test_a_wrong_field_of_finance_is_named(folder: Path, old: str, new: str, field: str) -> None:
    """The same holds where dimensions are written out and rules take a tolerance."""
    assert field in refused(folder / "finance", old, new)


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("effect: 0.3}", "effect: 0.3, flag: true}", "gate is needed where a rule is a flag"),
        ("{rules: 1.0, teacher: 0.0}", "{rules: 0, teacher: 1}", "gate.dimension is needed"),
    ],
)
def test_flags_and_teachers_need_a_gate(folder: Path, old: str, new: str, reason: str) -> None:
    """Where something can be unsafe, the rubric says what such an answer may earn at most."""
    path = folder / "finance" / "rubric.yaml"
    lines = path.read_text("utf-8").splitlines()
    path.write_text("\n".join(line for line in lines if not line.startswith("gate:")), "utf-8")
    assert reason in refused(folder / "finance", old, new)


def test_a_teacher_needs_dimensions(folder: Path) -> None:
    """Whoever is asked is asked for something."""
    text = (folder / "finance" / "rubric.yaml").read_text("utf-8")
    start, end = text.index("dimensions:"), text.index("# The sum of the rules")
    path = folder / "finance" / "rubric.yaml"
    path.write_text(text[:start] + text[end:], "utf-8")
    message = refused(folder / "finance", "{rules: 1.0, teacher: 0.0}", "{rules: 0, teacher: 1}")
    assert "dimensions are needed" in message


def test_a_rubric_that_judges_by_nothing_is_refused(folder: Path) -> None:
    """No teacher and no rules is no rubric."""
    path = folder / "finance" / "rubric.yaml"
    text = path.read_text("utf-8")
    path.write_text(text[: text.index("rules:\n")] + "rules: [] #", "utf-8")
    assert "rules must not be empty" in refused(folder / "finance", "rules: []", "rules: [ ]")


def test_a_threshold_is_whatever_the_rule_takes() -> None:
    """Rules are told one number, under the name that says what it means."""
    short = RuleEntry(rule="answer_too_short", effect=-1, below_tokens=5)
    near = RuleEntry(rule="finance_accuracy", effect=1, tolerance_bp=0)
    assert (short.threshold, near.threshold) == (5, 0)
    assert RuleEntry(rule="finance_format", effect=1).threshold is None
