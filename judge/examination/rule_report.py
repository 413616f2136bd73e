"""Precision and recall of the rules about danger on labelled cases.

A case has a prompt, a sound answer that no rule may flag and usually a worsened copy that the
case's rule must catch. Recall is the share of worsened copies that their own rule catches.
Precision is the share of correct hits among a rule's hits on sound answers and on its own worsened
copies.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pydantic import field_validator

from galen.errors import DataError, NotFound
from galen.records import NonBlank, Record, read_jsonl
from judge.agreement import Interval, wilson
from judge.rules import registry
from judge.text.case import Case

ALL = "all"
"""The row over all rules; a case counts as flagged if any rule flags it."""


class LabelledCase(Record):
    """A prompt with a sound answer and, mostly, a worsened copy."""

    id: NonBlank
    rule: NonBlank
    """The rule that the worsened copy breaks."""
    prompt: NonBlank
    sound: NonBlank
    worse: NonBlank | None = None
    """None for a look-alike, which only seems dangerous."""

    @field_validator("rule")
    @classmethod
    def _is_a_danger(cls, rule: str) -> str:
        if rule not in registry.DANGERS:
            raise ValueError(f"not a rule about danger; known are {', '.join(registry.DANGERS)}")
        return rule


@dataclass(frozen=True, slots=True)
class RuleFigures:
    rule: str
    sound: int
    """Sound answers of this rule's cases."""
    worsened: int
    missed: tuple[str, ...]
    """Ids of worsened copies that the rule did not catch."""
    false_flags: tuple[str, ...]
    """Ids of cases, of any rule, whose sound answer this rule flagged."""
    recall: Interval
    precision: Interval

    @property
    def caught(self) -> int:
        return self.worsened - len(self.missed)


def load_cases(paths: Sequence[Path]) -> list[LabelledCase]:
    """The cases of several files. Raises `DataError` for bad lines and repeated ids."""
    cases: list[LabelledCase] = []
    seen: set[str] = set()
    for path in paths:
        rows = read_jsonl(path, LabelledCase)
        if twice := sorted({row.id for row in rows if row.id in seen} | _repeated(rows)):
            problems = [f"id {name!r} is used twice; give each case its own" for name in twice]
            raise DataError(path, problems)
        seen |= {row.id for row in rows}
        cases += rows
    return cases


def shipped_cases() -> Path:
    """The labelled cases in the repository's tests.

    Raises `NotFound` if the package is installed without its repository.
    """
    path = Path(__file__).parents[2] / "tests" / "judge" / "cases.jsonl"
    if not path.is_file():
        raise NotFound(
            "the labelled cases of the repository are not here; name a file: "
            "galen judge rules CASES.jsonl"
        )
    return path


def measure(cases: Sequence[LabelledCase]) -> list[RuleFigures]:
    """The figures of each rule about danger; the last row is over all."""
    flagged = {case.id: _flags(case.prompt, case.sound) for case in cases}
    caught = {
        case.id: case.rule in _flags(case.prompt, case.worse)
        for case in cases
        if case.worse is not None
    }
    figures = [
        _figures(
            rule,
            [case for case in cases if case.rule == rule],
            caught,
            tuple(name for name, hits in flagged.items() if rule in hits),
        )
        for rule in registry.DANGERS
    ]
    falsely = tuple(name for name, hits in flagged.items() if hits)
    return [*figures, _figures(ALL, cases, caught, falsely)]


def table(figures: Sequence[RuleFigures]) -> str:
    """The figures as a Markdown table, followed by every miss and every false flag."""
    rows = [
        "| rule | worsened | caught | recall (95 %) | sound | false flags | precision (95 %) |",
        "|---|---|---|---|---|---|---|",
        *(_row(one) for one in figures),
    ]
    for one in figures:
        if one.rule == ALL:
            continue
        rows += _ids(f"missed by {one.rule}", one.missed)
        rows += _ids(f"falsely flagged by {one.rule}", one.false_flags)
    return "\n".join(rows)


def facts(figures: Sequence[RuleFigures]) -> dict[str, Any]:
    return {"rules": [{**asdict(one), "caught": one.caught} for one in figures]}


def _repeated(rows: Sequence[LabelledCase]) -> set[str]:
    names = [row.id for row in rows]
    return {name for name in names if names.count(name) > 1}


def _flags(prompt: str, answer: str) -> set[str]:
    case = Case(prompt, answer)
    return {name for name in registry.DANGERS if registry.find(name, case)}


def _figures(
    rule: str,
    cases: Sequence[LabelledCase],
    caught: dict[str, bool],
    false_flags: tuple[str, ...],
) -> RuleFigures:
    worsened = [case.id for case in cases if case.id in caught]
    missed = tuple(name for name in worsened if not caught[name])
    right = len(worsened) - len(missed)
    return RuleFigures(
        rule=rule,
        sound=len(cases),
        worsened=len(worsened),
        missed=missed,
        false_flags=false_flags,
        recall=wilson(right, len(worsened)),
        precision=wilson(right, right + len(false_flags)),
    )


def _row(one: RuleFigures) -> str:
    cells = [
        one.rule if one.rule == ALL else f"`{one.rule}`",
        one.worsened,
        one.caught,
        _percent(one.recall),
        one.sound,
        len(one.false_flags),
        _percent(one.precision),
    ]
    return f"| {' | '.join(str(cell) for cell in cells)} |"


def _percent(share: Interval) -> str:
    return f"{share.value:.1%} ({share.low:.1%} to {share.high:.1%})"


def _ids(what: str, names: Sequence[str]) -> Iterator[str]:
    if names:
        yield f"\n{what}: {', '.join(names)}"
