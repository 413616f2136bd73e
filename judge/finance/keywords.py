"""Compares answers that are not numbers: letters of a choice, yes or no, same words, key words."""

from __future__ import annotations

import re
import unicodedata

from judge.finance.number_text import plain
from judge.text.sentences import sentences

ENOUGH = 0.6
"""Share of a sentence's key words that an answer must have. A list must be complete."""

_LETTERS = r"(?P<letters>[A-H](?:(?:[\s,、和及与]|and){0,3}[A-H]){0,7})"
_CHOICE = re.compile(rf"[(\[]?\s*{_LETTERS}\s*(?:$|[.、:)\]])")
_CHOSEN = re.compile(
    r"(?i:(?:应?选择?|选项|(?:the\s+)?(?:correct\s+)?(?:option|choice))(?:\s*(?:is|是|为))?\s*:?\s*)?"
    rf"[(\[]?\s*{_LETTERS}(?![A-Za-z股])"
)
_OTHER_LETTER = re.compile(r"(?<![A-Za-z])[A-H](?![A-Za-z股])")
_TRUTHS = {
    **dict.fromkeys(["true", "yes", "是", "是的", "对", "正确", "真", "成立"], True),
    **dict.fromkeys(["false", "no", "否", "不是", "不对", "错", "错误", "假"], False),
    **dict.fromkeys(["不正确", "不成立"], False),
}
_DIGIT_TRUTHS = {"1": True, "1.0": True, "0": False, "0.0": False}
_LISTED = re.compile(r"[;；|\n]+")
MAX_CHARS = 600
"""Longer texts are not compared by key words."""
_SHORT = 12
"""A reference of at most so many letters and digits is a single key word."""
_ENGLISH_NOT = re.compile(r"\b(?:not|no|never|neither|without|n't)\b[^.;,]*$", re.IGNORECASE)
_BREAKS = re.compile(
    r"[^\w%.]+|(?:以及|因为|所以|因此|由于|如果|可以|可能|通常|一般|就是|即|是指|属于|表示|说明|意味着"
    r"|进行|通过|根据|对于|关于|的|了|和|与|或|在|是|有|会|也|都|而|且|为|被|把|将|从|到|于|等|中|其)"
    r"|(?<![A-Za-z])(?:a|an|the|of|to|in|on|at|by|for|and|or|is|are|was|were|be|it|its|as|that|this"
    r"|which|with|from|will|would|can|may)(?![A-Za-z])",
    re.IGNORECASE,
)


def choice(reference: str) -> frozenset[str] | None:
    """The letters of a multiple-choice reference: `B`, `ABD`, `A、C`, `B. 净利率`; else None."""
    match = _CHOICE.match(_plain(reference))
    return frozenset(re.findall("[A-H]", match["letters"])) if match else None


def chosen(answer: str) -> frozenset[str] | None:
    """The letters that an answer chooses (`选 B`, `B，因为…`); None if more letters follow."""
    text = _plain(answer)
    match = _CHOSEN.match(text)
    if not match or _OTHER_LETTER.search(text, match.end()):
        return None
    return frozenset(re.findall("[A-H]", match["letters"]))


def truth(text: str, *, or_digit: bool = False) -> bool | None:
    """True or False in Chinese or English, else None; with `or_digit` also 1 or 0."""
    word = re.split(r"[,、;:。]", _plain(text).lower(), maxsplit=1)[0].strip()
    return _TRUTHS.get(word, _DIGIT_TRUTHS.get(word) if or_digit else None)


def same_words(answer: str, reference: str) -> bool:
    """Whether two texts differ only in case, width, spaces and punctuation."""
    bare = _bare(_plain(reference))
    return bool(bare) and _bare(_plain(answer)) == bare


def key_words(reference: str) -> tuple[tuple[str, ...], float]:
    """A reference's key words and the share of them that an answer must have."""
    if len(reference) > MAX_CHARS:
        return (), 1.0
    listed = [part.strip() for part in _LISTED.split(reference) if _bare(part)]
    if len(listed) > 1:
        return tuple(listed), 1.0
    if len(_bare(reference)) <= _SHORT:
        return tuple(listed), 1.0
    parts = [part.strip(".") for part in _BREAKS.split(reference)]
    return tuple(dict.fromkeys(part for part in parts if len(part) > 1)), ENOUGH


def has_key_words(answer: str, reference: str) -> bool:
    """Whether an answer has enough of the key words. A negated one (不是净利率) does not count."""
    words, share = key_words(reference)
    found = [word for word in words if _affirms(answer, word)]
    return bool(words) and len(found) >= share * len(words)


def _affirms(answer: str, word: str) -> bool:
    pattern = re.compile(r"\s*".join(re.escape(sign) for sign in _bare(word)), re.IGNORECASE)
    text = unicodedata.normalize("NFKC", answer)
    return any(
        not sentence.negates(start) and not _ENGLISH_NOT.search(text[max(0, start - 24) : start])
        for sentence in sentences(text)
        for start, _ in sentence.find(pattern)
    )


def _bare(text: str) -> str:
    """Letters and digits in lower case, with the `.` and `%` of numbers."""
    kept = re.findall(r"[^\W_]|[.%](?=[0-9])|(?<=[0-9])%", unicodedata.normalize("NFKC", text))
    return "".join(kept).lower()


def _plain(text: str) -> str:
    """A short text, normalised; "" for a long one, which is no choice and no yes or no."""
    return plain(text) if len(text) <= MAX_CHARS else ""
