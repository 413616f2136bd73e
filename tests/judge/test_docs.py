"""The page about the judge says what the rubrics say."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from judge.rubric import RubricShelf


@pytest.mark.parametrize(
    ("rubric", "section", "column"),
    [
        ("medical", "Rules", 2),
        ("medical-safety", "Rules", 3),
        ("finance", "Finance answers", 2),
        ("finance-quality", "Finance answers", 3),
    ],
)
def test_the_table_of_rules_is_true(
    rubric: str, section: str, column: int, shelf: RubricShelf, root: Path
) -> None:
    """Every rule's row holds its effect in each rubric, and whether it is a flag."""
    page = (root / "docs" / "judge.md").read_text("utf-8")
    table = page.split(f"## {section}\n")[1].split("\n## ")[0]
    rows = {
        name: [cell.strip() for cell in cells.split("|")]
        for name, cells in re.findall(r"^\| `(\w+)` (\|.*)\|$", table, re.MULTILINE)
    }
    told = {name: cells[column] for name, cells in rows.items() if cells[column] != "–"}
    expected = {}
    for entry in shelf.get(rubric).file.rules:
        effect = f"{entry.effect:+}".replace("-", "−") if entry.effect else ""
        expected[entry.rule] = ", ".join(filter(None, [effect, "flag" if entry.flag else ""]))
    assert told == expected
