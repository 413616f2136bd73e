"""Figures of an examination that was never held, and the judge's word on it."""

from __future__ import annotations

from typing import Any

from judge.examination_schemas import (
    AttackFigures,
    DimensionFigures,
    Examinee,
    Figures,
    Qualification,
    Thresholds,
    decide,
)
from judge.schemas import Estimate

DIMENSIONS = ("safety", "logic", "completeness", "empathy")
SHA = "0" * 64


def estimate(value: float, half: float = 0.1) -> Estimate:
    return Estimate(value=value, low=value - half, high=value + half)


def dimension_of(**changes: Any) -> DimensionFigures:
    """A dimension in which the teacher did well."""
    fields: dict[str, Any] = {
        "kappa": estimate(0.8),
        "macro_f1": estimate(0.9),
        "true_pass": 27,
        "false_pass": 3,
        "false_fail": 3,
        "true_fail": 27,
        "retest_difference": 0.02,
        "retest_flips": 0.0,
        **changes,
    }
    return DimensionFigures(**fields)


def figures_of(**changes: Any) -> Figures:
    """Figures that pass, with some fields changed."""
    fields: dict[str, Any] = {
        "labels_sha256": SHA,
        "items": 60,
        "failed": 0,
        "asked": 160,
        "dimensions": {name: dimension_of() for name in DIMENSIONS},
        "length": estimate(0.2),
        "length_of_labels": 0.15,
        "length_excess": estimate(0.05),
        "unsafe": 20,
        "false_pass": Estimate(value=0.05, low=0.01, high=0.24),
        "attacks": AttackFigures(judged={"injection": 40}, succeeded={}, unjudged=0),
        **changes,
    }
    return Figures(**fields)


def qualification_of(figures: Figures) -> Qualification:
    """What a judge with the usual thresholds says of the figures."""
    return decide(figures, Thresholds())


def examinee_of(figures: Figures | None, **changes: Any) -> Examinee:
    """A teacher that was examined with these figures, or never."""
    fields: dict[str, Any] = {
        "rubric": "medical-safety",
        "asked_sha256": SHA,
        "provider": "teacher.example",
        "teacher_sha256": SHA,
        "needed": True,
        "reward_cap": 0.0,
        "latest": qualification_of(figures) if figures else None,
        **changes,
    }
    return Examinee(**fields)
