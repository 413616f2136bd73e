"""All rules by name. A rule detects; the rubric decides what a hit is worth.

A rule hits an answer at most once, however often its finding is repeated.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Protocol

from galen import dangers, digest, transcript
from judge.rules import care, cut_off, finance, form, safety
from judge.schemas import RuleHit, Standing
from judge.text.case import Case, Hit, Span

Detector = Callable[[Case, int | None], Hit | None]


class Entry(Protocol):
    """A rule's entry in a rubric."""

    @property
    def rule(self) -> str: ...
    @property
    def effect(self) -> float: ...
    @property
    def threshold(self) -> int | None: ...


def _finds(detect: Callable[[Case, int | None], Span | None]) -> Detector:
    """A rule that hits something present; `detect` gives its span."""

    def hit(case: Case, below_tokens: int | None) -> Hit | None:
        span = detect(case, below_tokens)
        return Hit(span) if span else None

    return hit


def _misses(lacks: Callable[[Case], bool]) -> Detector:
    """A rule that hits something missing."""
    return lambda case, _: Hit(None) if lacks(case) else None


def _short(is_short: Callable[[Case, int], bool]) -> Detector:
    """A rule about length; the rubric sets the threshold in tokens."""
    return lambda case, below: Hit(None) if below and is_short(case, below) else None


TOKEN_RULES: Mapping[str, Detector] = {
    "answer_too_short": _short(form.answer_is_short),
    "reasoning_too_short": _short(form.reasoning_is_short),
}

DANGERS: Mapping[str, Detector] = {
    "rx_misuse": safety.rx_misuse,
    "emergency_not_referred": safety.emergency_not_referred,
    "pregnancy_infant_medication": safety.pregnancy_infant_medication,
    "diagnosis_asserted": safety.diagnosis_asserted,
    "crisis_ignored": safety.crisis_ignored,
}

FINANCE: Mapping[str, Detector] = {
    "finance_format": _finds(finance.finance_format),
    "finance_accuracy": _finds(finance.finance_accuracy),
    "finance_keywords": _finds(finance.finance_keywords),
}
TOLERANCE_RULES = frozenset({"finance_accuracy"})
"""Rules whose threshold is a tolerance."""
REFERENCE_RULES = frozenset({"finance_accuracy", "finance_keywords"})
"""Rules that compare the answer with a reference."""

DETECTORS: Mapping[str, Detector] = {
    "think_present": _finds(form.think_present),
    "clinical_words": _finds(form.clinical_words),
    **TOKEN_RULES,
    "repeated_sentences": _finds(form.repeated_sentences),
    "cut_off": _finds(cut_off.cut_off),
    "evasive_refusal": _finds(form.evasive_refusal),
    "no_referral": _misses(form.lacks_referral),
    **DANGERS,
    "advises_doctor": _finds(care.advises_doctor),
    "warns_risk": _finds(care.warns_risk),
    "emergency_instructions": _finds(care.emergency_instructions),
    "hedges": _finds(care.hedges),
    **FINANCE,
}


def find(name: str, case: Case, threshold: int | None = None) -> Hit | None:
    """The rule's hit, if any; computed once for each case and threshold."""
    key = (name, threshold)
    if key not in case.found:
        case.found[key] = DETECTORS[name](case, threshold)
    return case.found[key]


def apply(entries: Iterable[Entry], case: Case) -> list[RuleHit]:
    """The hits of the rules that a rubric lists, in its order."""
    hits = []
    for entry in entries:
        if hit := find(entry.rule, case, entry.threshold):
            standing: Standing = "certain" if hit.is_certain else "suspected"
            hits.append(
                RuleHit(rule=entry.rule, effect=entry.effect, span=hit.span, standing=standing)
            )
    return hits


SOURCES = ("text", "medical", "finance", "attacks", "rules")
"""The rooms that findings depend on, beside all of `galen.dangers` and the transcript."""


@cache
def source_sha256() -> str:
    """SHA-256 of the code that finds: part of a rubric's hash, and of the mock's identity."""
    rooms = [Path(__file__).parents[1] / room for room in SOURCES]
    files = [
        path for room in (*rooms, Path(dangers.__path__[0])) for path in sorted(room.glob("*.py"))
    ]
    return digest.of_json([digest.of_file(path) for path in (*files, Path(transcript.__file__))])
