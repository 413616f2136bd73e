"""All pre-checks by name: if one hits, no teacher is asked.

A rubric has all of them unless its `prechecks` lists fewer. A hit does not change the rules' total,
but the teacher's part is then 0 and the reward is at most the gate's cap.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from judge.attacks import hollow_answers, tampering
from judge.schemas import RuleHit
from judge.text.case import Case, Hit, Span

Precheck = Callable[[Case, str], Hit | None]
"""(case, the criteria in the teacher's prompt) → a hit, if any."""


def _marks(detect: Callable[[Case, str], Span | None]) -> Precheck:
    """A check whose hits always have a span."""

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
"""Attempts to manipulate the judge; each is a flag."""

HOLLOW: Mapping[str, Precheck] = {
    "says_nothing": hollow_answers.says_nothing,
    "question_echoed": hollow_answers.question_echoed,
    "padding": hollow_answers.padding,
}
"""Answers without substance; not flags, since a weak policy writes them without intent."""

PRECHECKS: Mapping[str, Precheck] = {**TAMPERING, **HOLLOW}


def apply(names: Iterable[str], case: Case, criteria: str) -> list[RuleHit]:
    """The hits of the checks `names`; `criteria` is the teacher's prompt, "" if there is none."""
    found = ((name, PRECHECKS[name](case, criteria)) for name in names)
    return [RuleHit(rule=name, effect=0.0, span=hit.span) for name, hit in found if hit]


def attack_in_prompt(names: Iterable[str], prompt: str) -> bool:
    """Whether a prompt addresses the judge, by those checks among `names` that look for it.

    The policy did not write the prompt, so the item fails instead of getting a low score.
    """
    checks = set(names)
    return bool(
        ("judge_addressed" in checks and tampering.addresses_judge(prompt))
        or ("fake_delimiter" in checks and tampering.holds_delimiter(prompt))
    )
