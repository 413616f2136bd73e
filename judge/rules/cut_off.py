"""Detects an answer that breaks off, as when a policy reaches its token limit.

That is no flag. But a good answer cut short must earn less than the whole one, and a teacher may
not notice. An answer cut off exactly after a sentence looks whole and is left to the teacher.
"""

from __future__ import annotations

import re

from judge.text.case import Case, Span

_LABEL = re.compile(
    r"^\s*(?:[-*•·>#]+|[(（]?(?:\d{1,3}|[A-Za-z]|[一二三四五六七八九十]{1,2})[.、)）．:：])\s*"
)
_ENDED = re.compile(
    r"[。！？!?…]|[～~](?!\d)|(?<=[a-z\u3400-\u9fff)][a-z\u3400-\u9fff)])[.](?=\s|$)"
)
_WAITING = re.compile(r"[，、：；,:;（(“‘「『—\-]$")
"""Marks that no sentence ends with."""
_OPEN_END = re.compile(r"[\u3400-\u9fffA-Za-z]$")
"""A letter: unusual as a sentence's end if its neighbours end with full stops."""
_STATES = re.compile(r"[:：]\s*\S{1,24}$")
"""因此，答案是：肝癌 – a result needs no full stop."""


def cut_off(case: Case, _: int | None) -> Span | None:
    """The last words of an answer that ends in the middle of a sentence."""
    answer = case.answer.removesuffix("</answer>").rstrip()
    start = answer.rfind("\n") + 1
    line = answer[start:]
    label = _LABEL.match(line)
    body = start + (label.end() if label else 0)
    last = max((found.end() for found in _ENDED.finditer(answer, body)), default=body)
    tail = answer[last:].strip()
    if not tail or not _breaks_off(answer[:start], line, tail, goes_on=last > body):
        return None
    first = answer.index(tail, last)
    return case.in_answer((first, first + len(tail)))


def _breaks_off(before: str, line: str, tail: str, *, goes_on: bool) -> bool:
    """Whether `tail`, which has no final mark, is an unfinished sentence.

    `goes_on`: the same line has whole sentences before it.
    """
    if _WAITING.search(tail):
        return bool(before.strip()) or goes_on or len(tail) > 1
    if not _OPEN_END.search(tail) or _STATES.search(tail) or tail.startswith("祝"):
        return False
    if goes_on:
        return True
    lines = [one.strip() for one in before.splitlines() if one.strip()]
    if lines and lines[-1].endswith((":", "：")):
        return False
    alike = [one for one in lines if bool(_LABEL.match(one)) == bool(_LABEL.match(line))]
    return len(alike) >= 2 and all(_ENDED.search(one[-1:]) for one in alike)
