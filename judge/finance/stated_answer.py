"""Finds where a response states its final answer.

The reasoning is never searched. If there are `<answer>` tags, only the text between the last ones
is. The first of these that exists counts: the content of the last `\\boxed{…}`; what follows the
last 答案：, 最终答案 or "the answer is"; the whole text, if it is within tags or a single line.
Longer text without any of these states no answer, even if it ends with a number: a model that never
concludes has not answered.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from galen.transcript import ANSWER_CLOSE, ANSWER_OPEN
from judge.finance.units import SCALES, UNITS, either
from judge.text.case import Span

_LINE_CHARS = 600
"""A longer line is prose and states no answer."""

_BOXES = 8
"""How many boxes, from the last one backwards, are searched for a closed one."""
_MARK = re.compile(
    r"(?:(?:最终|最后的?|正确|参考)?答案|最终结果)\s*[*_]{0,2}\s*(?:[:：]|[是为](?!什么|多少))\s*(?:[:：])?"
    r"|(?<![A-Za-z])(?:the\s+)?(?:final\s+|correct\s+)?answer\s*[*_]{0,2}\s*(?:is(?![A-Za-z])\s*:?|[:：])"
    r"|(?<![A-Za-z])final\s+answer(?=\s*[*_]{0,2}\s*\n)"
    r"|^[ \t]*####(?!#)",
    re.IGNORECASE | re.MULTILINE,
)
_END = re.compile(r"[\n。！？；]|[.!?;](?=\s|[*_]*$)")
_SKIPPED = re.compile(r"[\s*_]*")
_BOXED = re.compile(r"\\(?:boxed|fbox)\s*\{")


_UNIT = re.compile(rf"[\s$*]*((?:\s*(?:{either([*SCALES, *UNITS])}))+)")
"""A unit behind the box."""


class Stated(NamedTuple):
    text: str
    span: Span
    """Start and end in the text that was searched."""


def final_answer(text: str) -> Stated | None:
    """The stated answer, stripped; None if there is none or the text was cut off within it."""
    low, high = 0, len(text)
    if ANSWER_OPEN in text:
        low = text.rfind(ANSWER_OPEN) + len(ANSWER_OPEN)
        high = text.find(ANSWER_CLOSE, low)
        if high < 0:
            return None
        return _marked(text, low, high) or _stripped(text, low, high)
    if marked := _marked(text, low, high):
        return marked
    whole = _stripped(text, low, high)
    if whole is None or "\n" in whole.text or len(whole.text) > _LINE_CHARS:
        return None
    return whole


def _marked(text: str, low: int, high: int) -> Stated | None:
    if boxed := _boxed(text, low, high):
        return boxed
    marks = list(_MARK.finditer(text, low, high))
    for mark in reversed(marks):
        skipped = _SKIPPED.match(text, mark.end(), high)
        start = skipped.end() if skipped else mark.end()
        end = _END.search(text, start, high)
        if stated := _stripped(text, start, end.start() if end else high):
            return stated
    return None


def _boxed(text: str, low: int, high: int) -> Stated | None:
    """The content of the last closed box, which may hold nested braces, with a unit behind it."""
    for box in reversed(list(_BOXED.finditer(text, low, high))[-_BOXES:]):
        depth = 1
        for at in range(box.end(), min(high, box.end() + _LINE_CHARS)):
            depth += (text[at] == "{") - (text[at] == "}")
            if depth == 0:
                stated = _stripped(text, box.end(), at)
                unit = _UNIT.match(text, at + 1, high)
                return stated and Stated(stated.text + (unit[1] if unit else ""), stated.span)
    return None


def _stripped(text: str, low: int, high: int) -> Stated | None:
    part = text[low:high]
    start = low + len(part) - len(part.lstrip())
    kept = part.strip()
    return Stated(kept, (start, start + len(kept))) if kept else None
