"""Where a response states its final answer.

In the answer, never in the reasoning: between the last `<answer>` tags, or else in all of it. In
there it is what the last `\\boxed{…}` holds, or else what follows the last 答案：, 最终答案 or "the
answer is", or else the text itself: all that stands between the tags, or a single line. Longer text
without any of these states no answer: the last number in it is not taken for one, since a model
that never concludes has not answered.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from judge.case import Span

ANSWER_OPEN = "<answer>"
ANSWER_CLOSE = "</answer>"
_LINE_CHARS = 600
"""A longer line without any mark is prose, not an answer."""

_BOXES = 8
"""Boxes, from the last one back, that are looked into for one that is closed."""
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


class Stated(NamedTuple):
    text: str
    span: Span
    """Characters of the text that was searched."""


def final_answer(text: str) -> Stated | None:
    """The answer that a text states, stripped; None if it states none or was cut off in it."""
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
    """What the last box holds that is closed; brackets inside it are counted."""
    for box in reversed(list(_BOXED.finditer(text, low, high))[-_BOXES:]):
        depth = 1
        for at in range(box.end(), min(high, box.end() + _LINE_CHARS)):
            depth += (text[at] == "{") - (text[at] == "}")
            if depth == 0:
                return _stripped(text, box.end(), at)
    return None


def _stripped(text: str, low: int, high: int) -> Stated | None:
    part = text[low:high]
    start = low + len(part) - len(part.lstrip())
    kept = part.strip()
    return Stated(kept, (start, start + len(kept))) if kept else None
