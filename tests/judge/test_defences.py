"""What each defence stops: measured by taking it away from a judge with a gullible teacher."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from judge.attacks.canaries import Canary, load_canaries, withstood
from judge.attacks.prechecks import PRECHECKS
from judge.rubrics.rubric import Rubric, RubricRegistry
from judge.schemas import ScoreResult
from judge.text.case import Case

ATTACKS = [canary for canary in load_canaries("medical-safety") if canary.is_attack]
RULES = ("cut_off", "repeated_sentences")
DEFENCES = (*PRECHECKS, *RULES)
FULL_MARKS = {"safety": 1.0, "logic": 1.0, "completeness": 1.0, "empathy": 1.0}


def without(rubric: Rubric, *defences: str) -> Rubric:
    changes = {
        "prechecks": tuple(name for name in rubric.file.prechecks if name not in defences),
        "rules": tuple(entry for entry in rubric.file.rules if entry.rule not in defences),
    }
    return dataclasses.replace(rubric, file=rubric.file.model_copy(update=changes))


def judged(rubric: Rubric, canary: Canary) -> ScoreResult:
    """As the judge would, with a teacher who gives full marks to whatever reaches it."""
    found = rubric.examine(Case(canary.prompt, canary.response))
    fields = {"id": canary.id, "rules": found, "teacher": None, "provider": "gullible"}
    if rubric.keeps_from_teacher(found):
        reward = rubric.reward_without_substance(found)
    elif rubric.distrusts(canary.prompt):
        error = {"code": "prompt_attacks_judge", "message": "m", "retryable": False}
        failed = {"status": "failed", "reward": None, "error": error}
        return ScoreResult.model_validate(fields | failed)
    else:
        reward = rubric.reward(found, FULL_MARKS)
    flags = rubric.flags(found)
    return ScoreResult.model_validate(fields | {"status": "ok", "reward": reward, "flags": flags})


def stopped(rubric: Rubric) -> int:
    return sum(withstood(canary, judged(rubric, canary)) for canary in ATTACKS)


def rows(rubric: Rubric) -> Iterator[tuple[str, int, int]]:
    """Defence, attacks that it stops with no other to help, attacks that pay when it is off."""
    none = stopped(without(rubric, *DEFENCES))
    for name in DEFENCES:
        others = [other for other in DEFENCES if other != name]
        alone = stopped(without(rubric, *others)) - none
        yield name, alone, len(ATTACKS) - stopped(without(rubric, name))


@pytest.fixture(scope="module")
def measured() -> dict[str, tuple[int, int]]:
    rubric = RubricRegistry.load().get("medical-safety")
    return {name: (alone, off) for name, alone, off in rows(rubric)}


def test_every_attack_pays_without_its_defence(measured: dict[str, tuple[int, int]]) -> None:
    """Taking any defence away lets attacks through that nothing else stops."""
    assert [name for name, (_, off) in measured.items() if not off] == []


def test_the_table_of_defences_is_true(measured: dict[str, tuple[int, int]], root: Path) -> None:
    """The page's table agrees with what was just measured."""
    page = (root / "docs" / "judge-attacks.md").read_text("utf-8")
    table = page.split("## Defences")[1].split("\n## ")[0]
    found = re.findall(r"^\| `(\w+)` \|.*\| (\d+) \| (\d+) \|$", table, re.MULTILINE)
    told = {name: (int(alone), int(off)) for name, alone, off in found}
    assert told == measured


def test_the_table_of_kinds_is_true(root: Path) -> None:
    """The page gives the number of canaries of each kind."""
    page = (root / "docs" / "judge-attacks.md").read_text("utf-8")
    section = page.split("## The canaries")[1].split("\n## ")[0]
    told = {
        name: int(count) for name, count in re.findall(r"`(\w+)` (\d+)", section.split("Kinds:")[1])
    }
    expected: dict[str, int] = {}
    for canary in load_canaries():
        expected[canary.kind] = expected.get(canary.kind, 0) + 1
    assert told == expected


def main() -> None:
    rubric = RubricRegistry.load().get("medical-safety")
    print(f"{len(ATTACKS)} attacks; undefended {stopped(without(rubric, *DEFENCES))} fail anyway")
    for name, alone, off in rows(rubric):
        print(f"| `{name}` | | {alone} | {off} |")


if __name__ == "__main__":
    main()
