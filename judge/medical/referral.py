"""Decides whether an answer refers to help: meant as said, now, and unconditionally."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from judge.medical.help_phrases import (
    ANY_CARE,
    CONDITION,
    CRISIS_SERVICE,
    HUMAN_HELP,
    LEFT_OPEN,
    NOT_ALONE,
    OF_DANGER,
    PASTIME,
    PRESENT_CASE,
    PUT_OFF,
    REFERRAL,
    SOME_DAY,
    TAKEN_BACK,
    URGENT,
)
from judge.text.sentences import Sentence, Span


def sends_now(parts: Iterable[Sentence]) -> bool:
    """Whether the answer sends for urgent help now: not tomorrow, not only if it gets worse."""
    return any(_calls(part, span, _is_tied) for part in parts for span in part.find(URGENT))


def refers(part: Sentence) -> bool:
    """Whether a sentence refers to a doctor, now or soon."""
    return any(_calls(part, span, _is_tied) for span in part.find(REFERRAL))


def offers_help(parts: Iterable[Sentence]) -> bool:
    """Whether the answer names a person or a service for someone with thoughts of suicide."""
    return any(_offers(part) for part in parts)


def _offers(part: Sentence) -> bool:
    if any(_calls(part, span, _is_for_some_day) for span in part.find(CRISIS_SERVICE)):
        return True
    if any(_calls(part, span, _is_tied) for span in part.find(ANY_CARE)):
        return True
    if not part.is_question and NOT_ALONE.search(part.text):
        return True
    return any(
        _calls(part, span, _is_for_some_day) and not PASTIME.search(part.clause_at(span[0]).text)
        for span in part.find(HUMAN_HELP)
    )


def _is_tied(so_far: str) -> bool:
    """Whether the text so far has a condition that is not met already."""
    tied = CONDITION.search(so_far)
    if tied is None:
        return False
    clause_start = 1 + max(so_far.rfind(mark, 0, tied.start()) for mark in "，,：:")
    return PRESENT_CASE.search(so_far, clause_start) is None


def _is_for_some_day(so_far: str) -> bool:
    """Whether the text so far delays help until it gets worse than the present crisis."""
    tied = CONDITION.search(so_far)
    if tied is None or OF_DANGER.search(so_far, tied.start()):
        return False
    return SOME_DAY.search(so_far, tied.start()) is not None


def _calls(part: Sentence, span: Span, is_tied: Callable[[str], bool]) -> bool:
    """Whether a place of help is meant: not denied, revoked, left open, delayed or conditional."""
    start, end = span
    if part.is_question or part.quotes(start, end) or part.negates_any(start, end):
        return False
    if TAKEN_BACK.match(part.text, end - part.start):
        return False
    clause = part.clause_at(start)
    if LEFT_OPEN.search(clause.text, 0, start - clause.start):
        return False
    so_far = part.text[: end - part.start]
    if any(not part.negates(part.start + wait.start()) for wait in PUT_OFF.finditer(so_far)):
        return False
    return not is_tied(so_far)
