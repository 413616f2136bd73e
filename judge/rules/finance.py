"""Rules for finance: the response's form, and whether its answer agrees with the reference.

The kind of reference decides the comparison: a number, letters of a choice, yes or no, the same
words, or key words.
"""

from __future__ import annotations

import re

from galen.transcript import ANSWER_CLOSE, ANSWER_OPEN, THINK_CLOSE, THINK_OPEN
from judge.finance.amounts import asked_scale, readings, span
from judge.finance.keywords import choice, chosen, has_key_words, same_words, truth
from judge.finance.quantity import RELATIVE_TOLERANCE, Quantity, agree
from judge.finance.stated_answer import final_answer
from judge.text.case import Case, Span
from judge.text.sentences import count_tokens

_FORM = re.compile(
    r"\s*<think>(?P<reasoning>.*?)</think>\s*<answer>(?P<answer>.*?)</answer>\s*", re.DOTALL
)
_NUMBER_TOKENS = 30
"""A longer reference without an equation is a sentence, even if it has a number in it."""
_NUMBER = re.compile(r"[0-9零〇一二两三四五六七八九十百千万亿兆壹贰叁肆伍陆柒捌玖拾]")
_FIGURES = re.compile(r"[0-9]+(?:[.,][0-9]+)*")
_NUMERALS = re.compile("[零〇一二两三四五六七八九十百千万亿兆壹贰叁肆伍陆柒捌玖拾佰仟]+")
_TAGS = (THINK_OPEN, THINK_CLOSE, ANSWER_OPEN, ANSWER_CLOSE)


def finance_format(case: Case, _: int | None) -> Span | None:
    """`<think>…</think><answer>…</answer>`: both complete, in order, not empty, nothing else."""
    match = _FORM.fullmatch(case.text)
    if not match or any(case.text.count(tag) != 1 for tag in _TAGS):
        return None
    if not match["reasoning"].strip() or not match["answer"].strip():
        return None
    return match.span("answer")


def finance_accuracy(case: Case, tolerance_bp: int | None) -> Span | None:
    """The stated answer equals the reference: letters, yes or no, words, or a number within
    `tolerance_bp` basis points (20 if None)."""
    tolerance = RELATIVE_TOLERANCE if tolerance_bp is None else tolerance_bp / 10_000
    stated = final_answer(case.answer)
    scale = asked_scale(case.prompt)
    if stated is None or not is_right(stated.text, case.reference, tolerance, scale):
        return None
    return case.in_answer(stated.span)


def finance_keywords(case: Case, _: int | None) -> Span | None:
    """The stated answer has the reference's key words. Not used where `finance_accuracy` can
    decide: for numbers, choices, yes or no, and the same words."""
    stated = final_answer(case.answer)
    if stated is None or _is_exact(case.reference) or same_words(stated.text, case.reference):
        return None
    return case.in_answer(stated.span) if has_key_words(stated.text, case.reference) else None


def is_right(
    answer: str,
    reference: str,
    relative_tolerance: float = RELATIVE_TOLERANCE,
    scale: int | None = None,
) -> bool:
    """Whether a stated answer equals the reference, compared by the reference's kind.

    `scale` is the power of ten that the question asked for; a bare number is meant in it.
    """
    if letters := choice(reference):
        return chosen(answer) == letters
    if (wanted := truth(reference)) is not None:
        return truth(answer, or_digit=True) is wanted
    if known := _known(reference):
        stated = readings(answer)
        return any(
            agree(one, other, relative_tolerance, scale) for one in stated for other in known
        )
    if ends := span(reference):
        return _same_ends(span(answer), ends, relative_tolerance)
    same_figures = _FIGURES.findall(answer) == _FIGURES.findall(reference)
    return same_figures and same_words(answer, reference)


def _same_ends(
    stated: tuple[Quantity, Quantity] | None, known: tuple[Quantity, Quantity], tolerance: float
) -> bool:
    if stated is None:
        return False
    return all(agree(one, other, tolerance) for one, other in zip(stated, known, strict=True))


def _is_exact(reference: str) -> bool:
    """Whether key words are no way to compare it: a choice, a truth, or anything with a number."""
    is_word = choice(reference) is None and truth(reference) is None
    has_number = _NUMBER.search(reference) is not None
    return not is_word or (has_number and count_tokens(reference) <= _NUMBER_TOKENS)


def _known(reference: str) -> tuple[Quantity, ...]:
    """The reference's readings as a quantity; none for a sentence with a number in it."""
    if "=" not in reference and count_tokens(_NUMERALS.sub("0", reference)) > _NUMBER_TOKENS:
        return ()
    return readings(reference)
