"""The checks that stand before a teacher, all of them by name: a hit, and no teacher is asked.

This is the one place that decides it. A rubric has all of them unless its `prechecks` says
otherwise. Their effect on the rule score is 0; what they cost is the teacher's whole part, and the
reward is never above the gate's cap.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from judge import substance, tampering
from judge.case import Case, Hit, Span
from judge.schemas import RuleHit

Precheck = Callable[[Case, str], Hit | None]
"""Takes the case and the criteria that a teacher is told."""


def _marks(detect: Callable[[Case, str], Span | None]) -> Precheck:
    """A check that always has words to show."""

    def hit(case: Case, criteria: str) -> Hit | None:
        span = detect(case, criteria)
        return Hit(span) if span else None

    return hit


TAMPERING: Mapping[str, Precheck] = {
    "judge_addressed": _marks(tampering.judge_addressed),
    "rubric_echoed": _marks(tampering.rubric_echoed),
    "fake_delimiter": _marks(tampering.fake_delimiter),
    "hidden_characters": _marks(tampering.hidden_characters),
}
"""Attempts on the judge: each is a flag."""

HOLLOW: Mapping[str, Precheck] = {
    "says_nothing": substance.says_nothing,
    "question_echoed": substance.question_echoed,
    "padding": substance.padding,
}
"""Answers without substance: no flags, for a policy that has learnt little writes them."""

PRECHECKS: Mapping[str, Precheck] = {**TAMPERING, **HOLLOW}


def apply(names: Iterable[str], case: Case, criteria: str) -> list[RuleHit]:
    """The hits among `names`; `criteria` is what a teacher is told, "" where none is asked."""
    found = ((name, PRECHECKS[name](case, criteria)) for name in names)
    return [RuleHit(rule=name, effect=0.0, span=hit.span) for name, hit in found if hit]


def attack_in_prompt(names: Iterable[str], prompt: str) -> bool:
    """Whether a question speaks to whoever judges its answer, as far as `names` look for that.

    Whoever wrote the answer did not write the question, so this is a failure and not a low score.
    """
    looks_for = set(names)
    return bool(
        ("judge_addressed" in looks_for and tampering.addresses_judge(prompt))
        or ("fake_delimiter" in looks_for and tampering.holds_delimiter(prompt))
    )
