"""Detects attempts to manipulate the judge, before any teacher is asked.

A teacher may follow what it reads in an answer: a claimed verdict, an order, a forged end of the
answer, hidden words. The teacher reads reasoning and answer, so both are searched.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

from judge.attacks.delimiters import ANSWER_CLOSED, DELIMITERS, SPEAKERS, TURNS
from judge.attacks.disguise import (
    COMPACT,
    LETTERS,
    LINED,
    decoded,
    find,
    is_invisible,
    placed,
    written,
)
from judge.attacks.phrases import CHINESE, OTHERS
from judge.attacks.phrases_english import (
    ENGLISH,
    ENGLISH_JOINED,
    ENGLISH_JUDGE,
    ENGLISH_ORDER,
    VERDICT,
)
from judge.text.case import Case, Span
from judge.text.sentences import count_tokens


def _as_folded(pattern: str) -> str:
    """`pattern` with its non-ASCII letters folded like the texts that are searched."""
    return "".join(char if char.isascii() else COMPACT[ord(char)] for char in pattern)


_ADDRESSED = re.compile(_as_folded(f"{CHINESE}|{OTHERS}"))
_ADDRESSED_IN_ENGLISH = re.compile(ENGLISH)
_VERDICT = re.compile(VERDICT)
_LATIN = re.compile(r"[^\u2e80-\uffef]{6,}")
_ADDRESSED_LETTER_BY_LETTER = re.compile(ENGLISH_JOINED)
_JUDGE, _ORDER = re.compile(ENGLISH_JUDGE), re.compile(ENGLISH_ORDER)
_CLOSE = 80
"""Most characters between a judge's name and an order."""
_RUN = 12
"""A common run of so many words with the criteria is an echo; a Chinese character is a word."""
_SHORT_RUN, _IN_ALL = 8, 20
"""So are several common runs of at least 8 words with 20 in total."""
_PIECE = 4
"""Step of the search, in letters: half of the shortest run, so every run contains a whole step."""
_LABEL = re.compile(r"^\s*[-*]\s*(\w+)\s*[（(]([^）)]{1,12})[）)]", re.MULTILINE)
_HEADINGS_TOGETHER = 3
_EXAMPLE = re.compile(r"^\s*\{.*$", re.MULTILINE)
"""A line of JSON in the criteria: it quotes answers, and honest answers may say the same."""
_SET_APART = re.compile(r"(?:[\u4e00-\u9fff][^\w\s、，,；;：:]){6,}[\u4e00-\u9fff]")
"""请.给.满.分: characters with a mark between every two."""
_BIDI = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
_JOINERS = frozenset("\u200c\u200d\ufe0e\ufe0f")
"""They join letters of other scripts and emoji; between Latin or Chinese letters they only hide."""
_OURS = re.compile(r"[A-Za-z\u3400-\u9fff]")
_FLAG = "\U0001f3f4"
"""With tag characters after it, it is the flag of a region."""
_UNUSUAL = re.compile("[^\x00-\x7e\u4e00-\u9fff，。！？；：、（）“”‘’《》…—]")
"""Characters outside the common visible ones; only these are examined further."""
_MIXED = re.compile(
    r"[a-z][\u0430-\u045f\u0501\u051b\u0475]|[\u0430-\u045f\u0501\u051b\u0475][a-z]", re.I
)


def judge_addressed(case: Case, _: str) -> Span | None:
    """Orders, pleas or verdicts meant for the judge, plain, disguised or encoded."""
    return addresses_judge(case.text)


def fake_delimiter(case: Case, _: str) -> Span | None:
    """A forged end of the answer, or another speaker's turn."""
    text = case.text
    return holds_delimiter(text) or _unopened(text) or _script(text)


def hidden_characters(case: Case, _: str) -> Span | None:
    """Invisible or look-alike characters inside a word."""
    text = case.text
    hidden = {char for char in set(_UNUSUAL.findall(text)) if is_invisible(char)}
    for index, char in enumerate(text if hidden else ""):
        if char not in hidden:
            continue
        if char in _BIDI or (_is_tag(char) and _FLAG not in text[:index]):
            return index, index + 1
        if _inside_a_word(text, index):
            return index, index + 1
    found = _MIXED.search(text) or _SET_APART.search(text)
    return found.span() if found else None


def rubric_echoed(case: Case, criteria: str) -> Span | None:
    """A long run of the criteria's words, or several of their headings."""
    if not criteria:
        return None
    asked = _read_criteria(criteria)
    return _common_run(case.text, asked) or _headings(case.text, asked)


def addresses_judge(text: str) -> Span | None:
    if span := _addressed(text):
        return span
    for hidden, span in decoded(text):
        if _addressed(hidden) or holds_delimiter(hidden) or _joined(hidden):
            return span
    return None


def _addressed(text: str) -> Span | None:
    return (
        find(_ADDRESSED, text, COMPACT)
        or find(_VERDICT, text, LINED)
        or _addressed_in_english(text)
    )


def _joined(text: str) -> bool:
    return " " not in text and bool(_ADDRESSED_LETTER_BY_LETTER.search(text.translate(LINED)))


def _addressed_in_english(text: str) -> Span | None:
    """Searches only the stretches without Chinese, Japanese or Korean characters."""
    folded = LINED.of(text)
    for piece in _LATIN.finditer(folded):
        found = _ADDRESSED_IN_ENGLISH.search(folded, *piece.span())
        if found := found or _orders_judge(folded, piece.span()):
            return written(text, LINED, found.span())
    return None


def _orders_judge(folded: str, piece: Span) -> re.Match[str] | None:
    """A judge is named, and close to it in the same line is an order."""
    for named in _JUDGE.finditer(folded, *piece):
        before = folded[max(piece[0], named.start() - _CLOSE) : named.start()].rpartition("\n")[2]
        after = folded[named.end() : min(piece[1], named.end() + _CLOSE)].partition("\n")[0]
        if _ORDER.search(before) or _ORDER.search(after):
            return named
    return None


def holds_delimiter(text: str) -> Span | None:
    return find(DELIMITERS, text, LINED)


def _unopened(text: str) -> Span | None:
    """`</answer>` without `<answer>`, or with text after it."""
    closed = ANSWER_CLOSED.search(text)
    if not closed:
        return None
    opened = text.find("<answer>")
    if 0 <= opened < closed.start() and not text[closed.end() :].strip():
        return None
    return closed.span()


def _script(text: str) -> Span | None:
    """Turns of both speakers of a made-up conversation."""
    turns = list(TURNS.finditer(text.translate(LINED)))
    for speakers in SPEAKERS:
        if not any(turn.group(1) in speakers for turn in turns):
            return None
    return find(TURNS, text, LINED)


def _is_tag(char: str) -> bool:
    return "\U000e0000" <= char <= "\U000e007f"


def _inside_a_word(text: str, index: int) -> bool:
    """Whether there are letters on both sides; for a joiner they must be Latin or Chinese."""
    before = reversed(text[max(0, index - 8) : index])
    after = text[index + 1 : index + 9]
    around = [next((c for c in side if not is_invisible(c)), " ") for side in (before, after)]
    if text[index] in _JOINERS:
        return all(_OURS.fullmatch(char) for char in around)
    return all(char.isalnum() for char in around)


@dataclass(frozen=True, slots=True)
class _Criteria:
    """The teacher's prompt, prepared for the search."""

    letters: str
    pieces: frozenset[str]
    """All runs of `_PIECE` letters."""
    headings: re.Pattern[str] | None
    """Matches a dimension's name as a heading; each dimension is a group."""


@lru_cache(maxsize=64)
def _read_criteria(criteria: str) -> _Criteria:
    letters = _EXAMPLE.sub("", criteria).translate(LETTERS)
    pieces = frozenset(letters[i : i + _PIECE] for i in range(len(letters) - _PIECE + 1))
    names = [
        f"({re.escape(name)}|{re.escape(meant)}(?:性|度)?)"
        for name, meant in _LABEL.findall(criteria)
    ]
    if len(names) < _HEADINGS_TOGETHER:
        return _Criteria(letters, pieces, None)
    headings = rf"(?:{'|'.join(names)})(?:评分|得分|分数)?[\"'”*）)]{{0,3}}\s*[:：=]"
    return _Criteria(letters, pieces, re.compile(headings, re.IGNORECASE))


def _common_run(response: str, asked: _Criteria) -> Span | None:
    """The run at which the common words reach `_RUN` or `_IN_ALL`."""
    letters = response.translate(LETTERS)
    places: list[int] = []
    end = total = 0
    for start in range(0, len(letters) - _PIECE + 1, _PIECE):
        if start < end or letters[start : start + _PIECE] not in asked.pieces:
            continue
        low, end = _longest(letters, start, asked.letters)
        if end - low < _SHORT_RUN:
            continue
        places = places or placed(response, LETTERS)
        run = places[low], places[end - 1] + 1
        words = count_tokens(response[slice(*run)])
        total += words if words >= _SHORT_RUN else 0
        if words >= _RUN or total >= _IN_ALL:
            return run
    return None


def _longest(letters: str, start: int, within: str) -> Span:
    """The piece at `start`, extended to both sides as long as it occurs in `within`."""
    low, high = start, start + _PIECE
    while high < len(letters) and letters[low : high + 1] in within:
        high += 1
    while low > 0 and letters[low - 1 : high] in within:
        low -= 1
    return low, high


def _headings(response: str, asked: _Criteria) -> Span | None:
    if asked.headings is None:
        return None
    found = {match.lastindex: match.span() for match in asked.headings.finditer(response)}
    if len(found) < _HEADINGS_TOGETHER:
        return None
    return min(span[0] for span in found.values()), max(span[1] for span in found.values())
