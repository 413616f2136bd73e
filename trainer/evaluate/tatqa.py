"""TAT-QA's own measures of an answer: exact match, F1 over words, and the scale.

Source: Zhu et al., TAT-QA: A Question Answering Benchmark on a Hybrid of Tabular and Textual
Content in Finance (2021), whose measures are those of DROP (Dua et al., 2019) with a scale.

An answer is a list of spans or numbers and a scale. They are compared as one text in which each
number stands in full, its scale multiplied in. The published figures follow from the official
reading of numbers, so this one has its corners: (1,234) is not read as negative, (134) is.
"""

from __future__ import annotations

import math
import re
import string
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

_FACTORS = {"hundred": 100, "thousand": 1000, "million": 10**6, "billion": 10**9, "percent": 0.01}
_AROUND_NUMBERS = str.maketrans("", "", "'\"\\$€£¥%(),[]")
_PUNCTUATION = str.maketrans("", "", string.punctuation)
_DIGITS = re.compile(r"[+-]?\d+(?:\.\d+)?|(?P<bare>[+-]?\.\d+)")
_WITH_WORD = re.compile(r"[\d.]+\s?[a-zA-Z]+")
_IN_BRACKETS = re.compile(r"\([\d.\s]+\)")
_PERCENT = re.compile(r"[\d.\s]+%")
_ARTICLES = re.compile(r"\b(?:a|an|the)\b")


@dataclass(frozen=True, slots=True)
class Score:
    """Each from 0 to 1."""

    exact: float
    f1: float
    scale: float


def score(question: Mapping[str, Any], answer: Any, scale: str) -> Score:
    """The measures of one answer, a list or a single part; nothing as an answer scores 0.

    `question` is a question of the data set's own form.
    """
    kind, wanted = question["answer_type"], question["answer"]
    wanted = list(wanted) if isinstance(wanted, list) else [str(wanted)]
    if not answer or not wanted:
        return Score(0.0, 0.0, 0.0)
    answer = answer if isinstance(answer, list) else [answer]
    gold = _words(_as_text(wanted, question["scale"]))
    said = [_as_text(answer, scale)]
    alone = str(answer[0])
    if len(answer) == 1 and not scale and "%" not in alone:
        number = _number(alone)
        if number is not None:  # a share may be written in full, without its percent sign
            said.append(f"{number:.4f}")
    exact, f1 = max((float(_words(each) == gold), _f1(_words(each), gold)) for each in said)
    f1 = exact if kind in ("arithmetic", "count") else f1
    return Score(exact, f1, float(scale == question["scale"]))


def _as_text(parts: Sequence[Any], scale: str) -> str:
    """All parts in order as one text, each number in full to four places."""
    shown = []
    for part in map(str, sorted(parts)):
        number = _number(part)
        if number is None:
            shown.append(f"{part} {scale}" if scale else part)
        elif "%" in part:
            shown.append(f"{number:.4f}")
        else:
            shown.append(f"{round(number, 2) * _factor(scale):.4f}")
    return " ".join(shown)


def _words(text: str) -> list[str]:
    """A text's words without case, articles and punctuation, its numbers as numbers."""
    return [word for token in text.lower().split(" ") for word in _bare(token).split()]


def _bare(token: str) -> str:
    number = _number(token)
    shown = token.translate(_PUNCTUATION) if number is None else str(number)
    return _ARTICLES.sub(" ", shown)


def _number(text: str) -> float | int | None:
    """The number that a text is, perhaps with a word for its scale after it."""
    words = text.translate(_AROUND_NUMBERS).split()
    try:
        is_number = bool(words) and not math.isnan(float(words[0]))
    except ValueError:
        return None
    if not is_number or (len(words) > 1 and _factor(words[1]) == 1):
        return None
    digits = _DIGITS.search(text.translate(_AROUND_NUMBERS))
    if digits is None or digits["bare"]:
        return None
    value = float(digits[0]) if "." in digits[0] else int(digits[0])
    with_word = _WITH_WORD.search(text)
    value = value * (_factor(with_word[0]) if with_word else 1)
    value = value * (-1 if _IN_BRACKETS.search(text) else 1)
    return round(value * (0.01 if _PERCENT.search(text) else 1), 4)


def _factor(word: str) -> float | int:
    return next((factor for name, factor in _FACTORS.items() if name in word.lower()), 1)


def _f1(said: Sequence[str], gold: Sequence[str]) -> float:
    """Of the sets of words, to two places."""
    ours, theirs = set(said), set(gold)
    both = len(ours & theirs)
    precision = both / len(ours) if ours else 1.0
    recall = both / len(theirs) if theirs else 1.0
    return round(2 * precision * recall / (precision + recall), 2) if precision + recall else 0.0
