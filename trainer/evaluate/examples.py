"""Which answers a report shows: the worst, and those that changed most, with the changes marked."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from trainer.evaluate.evaluate import Measured
from trainer.evaluate.scoring import Answer

SHOWN = 10
LONGEST = 4000
"""Characters of an answer that are shown and compared."""
_PIECE = re.compile(r"[A-Za-z0-9]+|\s+|.", re.DOTALL)
Marked = list[tuple[str, bool]]
"""Pieces of a text, each with whether the other text lacks it."""


@dataclass(frozen=True, slots=True)
class Shown:
    """One model's first answer to a prompt, and the prompt's mean in the headline measure."""

    model: str
    value: float | None
    reasoning: Marked
    answer: Marked
    is_cut_off: bool


@dataclass(frozen=True, slots=True)
class Example:
    """All models' answers to one prompt."""

    question: str
    category: str
    reference: str | None
    change: float | None
    """Of the headline measure, from the first model to the last."""
    answers: list[Shown]


def worst(models: Sequence[Measured]) -> list[Example]:
    """The prompts on which the last model does worst, worst first."""
    ranked = sorted(_prompts(models), key=lambda name: _rank(models[-1], name))
    return [_example(models, name) for name in ranked[:SHOWN]]


def most_changed(models: Sequence[Measured]) -> list[Example]:
    """The prompts whose headline value, and then whose text, changed most from first to last."""
    changed = [(abs(_change(models, n) or 0.0), _unlike(models, n), n) for n in _prompts(models)]
    ranked = sorted(changed, key=lambda each: each[:2], reverse=True)
    return [_example(models, name) for *_, name in ranked[:SHOWN]]


def _prompts(models: Sequence[Measured]) -> list[str]:
    """Ids of the prompts with a value of the headline for every model."""
    headline = models[0].suite.headline
    found = [
        {row.id for row in each.result.rows if row.values.get(headline) is not None}
        for each in models
    ]
    return [row.id for row in models[0].result.rows if all(row.id in each for each in found)]


def _rank(model: Measured, name: str) -> float:
    value = _value(model, name) or 0.0
    return value if model.suite.measures[model.suite.headline].better == "higher" else -value


def _value(model: Measured, name: str) -> float | None:
    row = next(each for each in model.result.rows if each.id == name)
    return row.values.get(model.suite.headline)


def _change(models: Sequence[Measured], name: str) -> float | None:
    first, last = _value(models[0], name), _value(models[-1], name)
    return None if first is None or last is None else last - first


def _unlike(models: Sequence[Measured], name: str) -> float:
    """How unlike the first and the last model's answers are, quickly and roughly."""
    first, last = (_answer(each, name).written.text[:LONGEST] for each in (models[0], models[-1]))
    return 1 - difflib.SequenceMatcher(None, first, last).quick_ratio()


def _answer(model: Measured, name: str) -> Answer:
    return next(each for each in model.answers if each.item.id == name)


def _example(models: Sequence[Measured], name: str) -> Example:
    first = _answer(models[0], name)
    return Example(
        question=first.item.question,
        category=first.item.category,
        reference=first.item.reference,
        change=_change(models, name),
        answers=[_shown(each, name, models) for each in models],
    )


def _shown(model: Measured, name: str, models: Sequence[Measured]) -> Shown:
    """The baseline is marked against the last model, every other one against the baseline."""
    written = _answer(model, name).written
    other = _answer(models[-1] if model is models[0] else models[0], name).written.transcript
    read = written.transcript
    return Shown(
        model=model.result.model,
        value=_value(model, name),
        reasoning=marked(read.reasoning, other.reasoning),
        answer=marked(read.answer, other.answer),
        is_cut_off=written.is_cut_off,
    )


def marked(text: str, other: str) -> Marked:
    """`text` in pieces, those marked that `other` lacks at that place."""
    ours, theirs = (_PIECE.findall(each[:LONGEST]) for each in (text, other))
    if not ours:
        return []
    matcher = difflib.SequenceMatcher(None, ours, theirs, autojunk=False)
    return list(_merged((ours, matcher)))


def _merged(found: tuple[list[str], difflib.SequenceMatcher[str]]) -> Iterator[tuple[str, bool]]:
    ours, matcher = found
    for kind, start, end, *_ in matcher.get_opcodes():
        if start < end:
            yield "".join(ours[start:end]), kind != "equal"
