"""The best rows of dev and test, as a standard to compare answers with."""

from __future__ import annotations

import heapq
import re
from typing import Any

from galen import transcript
from trainer.data.example import Example
from trainer.data.split.assign import content_key

JUDGED = ("reward", "score")
"""Columns that hold a judge's score."""
LEAST_THOUGHT, LEAST_ANSWER = 20, 40
"""Characters."""
_CAUSE = re.compile("可能|考虑|鉴别|原因|多与|常见于|提示|may|likely|cause", re.IGNORECASE)
_ADVICE = re.compile("建议|可以|应|避免|注意|需要|should|avoid|try", re.IGNORECASE)
_CARE = re.compile("就医|就诊|医生|医院|急诊|检查|仅供参考|doctor|hospital", re.IGNORECASE)
_AT_ONCE = re.compile(
    "立即|马上|立刻|尽快|急诊|120|急救|热线|emergency|immediately|911|999|hotline", re.IGNORECASE
)
_SENTENCE = re.compile(r"[^。！？!?\n]{6,}")


def quality(example: Example) -> tuple[tuple[int, float], tuple[str, ...]]:
    """How good the row's answer is, as something to sort by, and the rules that it breaks.

    A judge's score in the column `reward` or `score` decides and ranks before any unjudged row.
    Without one it is the share of rules of form and completeness that hold.
    """
    for column in JUDGED:
        score = example.extra.get(column)
        if isinstance(score, int | float) and not isinstance(score, bool):
            return (1, float(score)), ()
    rules = _rules(example)
    broken = tuple(name for name, holds in rules.items() if not holds)
    return (0, 1 - len(broken) / len(rules)), broken


def _rules(example: Example) -> dict[str, bool]:
    read = transcript.parse(example.answer or "")
    answer, sentences = read.answer, _SENTENCE.findall(read.answer)
    is_severe = example.meta.get("risk_level") in ("high", "critical")
    return {
        "has a closed thought": read.closed and len(read.reasoning or "") >= LEAST_THOUGHT,
        "has an answer of some length": len(answer) >= LEAST_ANSWER,
        "repeats no sentence": len(set(sentences)) == len(sentences),
        "names causes": _CAUSE.search(answer) is not None,
        "gives advice": _ADVICE.search(answer) is not None,
        "says when to see a doctor": _CARE.search(answer) is not None,
        "sends a severe case to care at once": not is_severe or _AT_ONCE.search(answer) is not None,
        "carries no fault on purpose": not example.meta.get("faults"),
    }


class Gold:
    """Keeps the best `size` of the rows that it is shown; equal ones by their content."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._best: list[tuple[tuple[int, float], int, int, Any]] = []
        self._shown = 0

    def show(self, example: Example, row: Any) -> None:
        """`row` is what `best` returns for the example."""
        self._shown += 1
        entry = (quality(example)[0], content_key(example), self._shown, row)
        if len(self._best) < self._size:
            heapq.heappush(self._best, entry)
        elif self._size:
            heapq.heappushpop(self._best, entry)

    def best(self) -> list[Any]:
        """The best first."""
        return [row for *_, row in sorted(self._best, key=lambda entry: entry[:3], reverse=True)]
