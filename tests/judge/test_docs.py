"""The pages about the judge agree with the rubrics."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from judge.attacks.canaries import load_canaries
from judge.examination.examiner import read_labels
from judge.rubrics.rubric import RubricRegistry
from judge.text.case import Case


@pytest.mark.parametrize(
    ("rubric", "page", "column"),
    [
        ("medical", "judge.md", 2),
        ("medical-safety", "judge.md", 3),
        ("finance", "judge-finance.md", 2),
        ("finance-quality", "judge-finance.md", 3),
    ],
)
def test_the_table_of_rules_is_true(
    rubric: str, page: str, column: int, rubrics: RubricRegistry, root: Path
) -> None:
    """Every rule's row holds its effect in each rubric, and whether it is a flag."""
    text = (root / "docs" / page).read_text("utf-8")
    table = text.split("## Rules\n")[1].split("\n## ")[0]
    rows = {
        name: [cell.strip() for cell in cells.split("|")]
        for name, cells in re.findall(r"^\| `(\w+)` (\|.*)\|$", table, re.MULTILINE)
    }
    shown = {name: cells[column] for name, cells in rows.items() if cells[column] != "–"}
    expected = {}
    for entry in rubrics.get(rubric).file.rules:
        effect = f"{entry.effect:+}".replace("-", "−") if entry.effect else ""
        expected[entry.rule] = ", ".join(filter(None, [effect, "flag" if entry.flag else ""]))
    assert shown == expected


def test_what_an_examination_asks_is_true(rubrics: RubricRegistry, root: Path) -> None:
    """The page says how many judgements an examination takes, and how many of them are calls."""
    rubric = rubrics.get("medical-safety")
    labels, canaries = read_labels(root / "data/judge/labels.jsonl"), load_canaries(rubric.name)
    asked = [*labels, *labels, *(c for c in canaries if c.expect != "refused")]
    cases = [Case(one.prompt, one.response, one.reference or "") for one in asked]
    calls = sum(not rubric.keeps_from_teacher(rubric.examine(case)) for case in cases)
    total = 2 * len(labels) + len(canaries)
    attacks = sum(canary.is_attack for canary in canaries)
    page = " ".join((root / "docs" / "judge-examination.md").read_text("utf-8").split())
    assert f"{total} judgements, 2 × {len(labels)} and {len(canaries)} canaries" in page
    assert f"{total - calls} of which are answered without a call: {calls} calls" in page
    assert f"Of the {len(canaries)}, {attacks} are attacks and {len(canaries) - attacks} ho" in page
