"""An answer that stops in the middle: what a policy writes that ran into its limit of tokens.

It is no attack and no flag. But a good answer cut short must not earn what the whole one does,
and a teacher may not notice. An answer cut off exactly after a sentence looks whole, and is left to
the teacher's completeness.
"""

from __future__ import annotations

import re

from judge.case import Case, Span

_LABEL = re.compile(
    r"^\s*(?:[-*•·>#]+|[(（]?(?:\d{1,3}|[A-Za-z]|[一二三四五六七八九十]{1,2})[.、)）．:：])\s*"
)
_ENDED = re.compile(
    r"[。！？!?…]|[～~](?!\d)|(?<=[a-z\u3400-\u9fff)][a-z\u3400-\u9fff)])[.](?=\s|$)"
)
_WAITING = re.compile(r"[，、：；,:;（(“‘「『—\-]$")
"""What a sentence cannot end in."""
_OPEN_END = re.compile(r"[\u3400-\u9fffA-Za-z]$")
"""A letter: a sentence may end in one, but hardly where its neighbours end in full stops."""
_STATES = re.compile(r"[:：]\s*\S{1,24}$")
"""因此，答案是：肝癌 – a result that needs no full stop."""


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
    """Whether `tail`, which no sentence mark ends, was to go on.

    `goes_on` says that whole sentences stand before it in its line.
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
