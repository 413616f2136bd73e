"""Rules about form: reasoning is present, long enough, not repetitive, not just a refusal."""

from __future__ import annotations

import re

from judge.medical.help_phrases import REFERRAL
from judge.text.case import Case, Span
from judge.text.sentences import Sentence, count_tokens

_CLINICAL = re.compile(r"建议|指征|诊断")
_FOR_REFERENCE = re.compile(
    r"仅供参考|不(?:能|可)?(?:构成|作为|代替|替代)[^，。]{0,10}(?:诊断|建议|意见|医嘱|医生|就医)"
)
_REFUSAL = re.compile(
    r"(?:无法|不能|没法|不便|不方便|没有?办法|不会|拒绝)(?:直接|具体|准确|为您|为你|给您|给你|对此|在此|就此){0,2}"
    r"(?:回答|解答|提供|给出|讨论|协助|判断|评论|帮(?:助|到|您|你))"
    r"|(?:作为|我(?:只)?是)(?:一个|一名)?[^，。]{0,6}(?:AI|人工智能|语言模型|机器人|智能助手)"
)
_RUN = re.compile(r"([^\s\d]{2,12}?)\1{3,}")
_NO_WORD = re.compile(r"\W+")
_SAME_SENTENCE_TOKENS = 6
_SUBSTANCE_TOKENS = 20


def think_present(case: Case, _: int | None) -> Span | None:
    """Closed reasoning that is not empty: one thought, with no tags astray in the answer."""
    reasoning = case.transcript.reasoning
    if not reasoning or not case.is_in_form:
        return None
    return case.in_reasoning((0, len(reasoning)))


def clinical_words(case: Case, _: int | None) -> Span | None:
    found = _CLINICAL.search(case.plain_answer.text)
    return case.in_plain(found.span()) if found else None


def answer_is_short(case: Case, below_tokens: int) -> bool:
    return count_tokens(case.answer) < below_tokens


def reasoning_is_short(case: Case, below_tokens: int) -> bool:
    return count_tokens(case.transcript.reasoning) < below_tokens


def repeated_sentences(case: Case, _: int | None) -> Span | None:
    """A repeated sentence, or a phrase four times in a row; the span of the repetition."""
    if span := _repeated(case.plain_answer.text, case.answer_sentences):
        return case.in_plain(span)
    if span := _repeated(case.transcript.reasoning, case.reasoning_sentences):
        return case.in_reasoning(span)
    return None


def evasive_refusal(case: Case, _: int | None) -> Span | None:
    """A refusal without useful content; a referral to a doctor alone does not count as useful."""
    refusal: Span | None = None
    rest = 0
    for part in case.answer_sentences:
        if found := _REFUSAL.search(part.text):
            refusal = refusal or (part.start + found.start(), part.start + found.end())
        elif not REFERRAL.search(part.text) and not _FOR_REFERENCE.search(part.text):
            rest += count_tokens(part.text)
    if refusal is None or rest >= _SUBSTANCE_TOKENS:
        return None
    return case.in_plain(refusal)


def lacks_referral(case: Case) -> bool:
    """The answer nowhere says "see a doctor" or "for reference only"."""
    for part in case.answer_sentences:
        if _FOR_REFERENCE.search(part.text) or part.affirms(REFERRAL):
            return False
    return True


def _repeated(text: str, parts: tuple[Sentence, ...]) -> Span | None:
    if run := _RUN.search(text):
        return run.span()
    seen: set[str] = set()
    for part in parts:
        body = _NO_WORD.sub("", part.text)
        if count_tokens(body) < _SAME_SENTENCE_TOKENS:
            continue
        if body in seen:
            return part.start, part.start + len(part.text)
        seen.add(body)
    return None
