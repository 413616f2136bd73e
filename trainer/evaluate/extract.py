r"""What an answer states: the letters of a choice, or one exact text or number.

One extractor with a fixed order, never the best of several. The reasoning is not searched. What is
undecided (A或B), denied (不选A) or about a letter that is no option is no answer at all, which is
counted apart from a wrong one. Of a choice, the first of these that exists decides:

1. the last \boxed{…}
2. the last statement that names a choice and is not denied: 答案是B, 故选AB, B正确, the answer is B
3. a last or first line of letters alone, or of one option
4. letters at the very beginning, with an explanation after them
5. the words of one option alone

All patterns read text in compatibility form (NFKC), which has one width of letters and brackets.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from decimal import Decimal, InvalidOperation

_MARKS = re.compile(r"[*`$_#>]+|\\(?:text|mathrm|mathbf|textbf|rm)\b|\\[()\[\]]")
"""Markdown and TeX around a letter."""
_BOXED = re.compile(r"\\(?:boxed|fbox)\s*\{((?:[^{}]|\{[^{}]*\})*)\}")
_OPEN, _CLOSE = r"[(\[【「“\"'{\s]*", r"[)\]】」”\"'}\s]*"
_JOIN = r"(?:\s|[、,;和及与&+]|以及|还有|\band\b|选?项|[)】\]】(【\[])*"
_LETTERS = rf"[A-J](?:{_JOIN}[A-J])*(?![A-Za-z])"
_CHOICE = re.compile(
    rf"{_OPEN}(?:选项|选|项|(?:option|choice)\s+)?{_OPEN}(?P<letters>{_LETTERS})(?P<after>.*)",
    re.DOTALL | re.IGNORECASE,
)
_STATES = re.compile(
    r"(?P<not>不是|并非|不应?该?|不能|不可|别|勿|排除|not\s+|n't\s+)?\s*(?:"
    r"(?:答案|选项|选择|答)(?:应该?|就|只)?(?:[是为选:有=]|包括)+(?:选?项)?"
    rf"|答案(?={_OPEN}[A-J](?![A-Za-z]))"
    r"|正确的?(?:选项)?[是为:]+"
    r"|选(?:择|项|用)?(?:的?[是为:])*"
    r"|(?:answer|choice|option)s?"
    r"(?:\s+(?:is|are|(?:would|should|must)\s+be)|\s*[:=])+(?:\s+(?:option|choice))?"
    r"|(?:choose|pick|select|go\s+with)(?:\s+(?:option|choice))?"
    r")\s*:?\s*",
    re.IGNORECASE,
)
_IS_RIGHT = re.compile(
    rf"(?<![A-Za-z0-9])(?P<letters>{_LETTERS}){_CLOSE}(?:选?项)?\s*[才是为最均都\s]*"
    r"(?:正确|最佳|对的|符合题意|(?-i:is)\s+(?:the\s+)?(?:correct|right|best))"
)
_AFTER = re.compile(
    r"\s*(?:$|[.。,、:;!?)\]】」”\"'}\n(—–-]|[一二两三四五六]?[项个]|选项|[是为最均才都]*正确"
    r"|[是为对吗的]|因为|(?:is|because|since)\b)"
)
"""What may follow letters that are a choice, and not the beginning of a word."""
_OR = re.compile(
    rf"{_CLOSE}(?:或者?|还是|/|\bor\b|[-~至到]){_OPEN}(?:选项)?[A-J](?![A-Za-z0-9])", re.IGNORECASE
)
_ALONE = re.compile(rf"{_OPEN}(?P<letters>{_LETTERS}){_CLOSE}[.。,、;!]?\s*")
_FIRST = re.compile(rf"{_OPEN}(?P<letters>{_LETTERS}){_CLOSE}[。,;:]\s*(?=[^\s])")
_LINE = re.compile(r"\s*(?:[-•]\s*)?[(\[【]?(?P<letters>[A-J])\s*[)\]】.、: ]\s*(?P<text>.*)")
_SENTENCE = re.compile(r"[。!?\n]|;(?!\s*[A-J](?![A-Za-z]))")
_DENIED = re.compile(r"(?:不|非|没有?|排除|不能|错误[的地]?|not|n't)\s*$", re.IGNORECASE)
_NUMBER = re.compile(r"[-−]?\d[\d,]*(?:\.\d+)?")
_RESULT = re.compile(r"(?:答案|结果|answer)\s*(?:是|为|is)?\s*:?[ \t]*(\S[^\n]*)", re.IGNORECASE)


def letters(answer: str, options: Mapping[str, str]) -> str | None:
    """The letters that an answer chooses, in order; None if it chooses none.

    `options` are the question's, by their letters.
    """
    if boxed := _BOXED.findall(answer):
        return _stated(_plain(boxed[-1]), options)
    text = _plain(answer).strip()
    if re.fullmatch("[a-j]", text):
        return _chosen(text, options)
    if statements := _statements(text, options):
        return statements[max(statements)]
    lines = [line for line in text.splitlines() if line.strip()]
    listed = [match for line in lines if (match := _LINE.fullmatch(line))]
    for line in (*lines[-1:], *lines[:1]):
        if alone := _ALONE.fullmatch(line):
            return _chosen(alone["letters"], options)
        if len(listed) == 1 and listed[0].string == line and _is_option(listed[0], options):
            return _chosen(listed[0]["letters"], options)
    if len(listed) < 2 and (first := _FIRST.match(text)):
        return _chosen(first["letters"], options)
    return _option_of(text, options)


def same(answer: str, reference: str) -> bool | None:
    """Whether the stated result is exactly `reference`. None if the answer states nothing.

    A number is the only one in the statement, after an equals sign if there is one. Texts are the
    same but for case, width, spaces and punctuation.
    """
    stated = result(answer)
    if not stated:
        return None
    wanted = _number(reference)
    if wanted is None:
        return _bare(stated) == _bare(reference)
    found = {_number(each) for each in _NUMBER.findall(stated.rpartition("=")[2] or stated)}
    return found == {wanted}


def result(answer: str) -> str:
    """The stated result: the last box, else what follows the last 答案： or answer:, else the whole
    of an answer of one line; empty if there is none."""
    if boxed := _BOXED.findall(answer):
        return _plain(boxed[-1]).strip()
    text = _plain(answer).strip()
    if marks := _RESULT.findall(text):
        return str(marks[-1]).strip()
    return text if "\n" not in text else ""


def _statements(text: str, options: Mapping[str, str]) -> dict[int, str | None]:
    """What each sentence chooses that names a choice and does not deny it, by its place."""
    found: dict[int, str | None] = {}
    for match in _STATES.finditer(text):
        rest = _SENTENCE.split(text[match.end() :].lstrip(), maxsplit=1)[0]
        is_denied = match["not"] or _is_denied(text, match.start())
        if not is_denied and (_choice_in(rest, options) or _option_of(rest, options)):
            found[match.start()] = _stated(rest, options)
    for match in _IS_RIGHT.finditer(text):
        if not _is_denied(text, match.start()):
            found[match.start()] = _chosen(match["letters"], options)
    return found


def _stated(rest: str, options: Mapping[str, str]) -> str | None:
    """The letters, or the option's own words, that a statement begins with."""
    match = _choice_in(rest, options)
    if match is None:
        return _option_of(rest, options)
    if _OR.match(match["after"]):
        return None
    first = match["letters"][0]
    own = _bare(options.get(first.upper(), ""))
    if own and _bare(rest) == first.lower() + own:  # C C反应蛋白
        return _chosen(first, options)
    return _chosen(match["letters"], options)


def _choice_in(rest: str, options: Mapping[str, str]) -> re.Match[str] | None:
    """The letters that a statement begins with, unless they begin an option's words."""
    match = _CHOICE.match(rest)
    if match is None or _option_of(rest, options):
        return None
    after = match["after"]
    own = _bare(options.get(match["letters"][0].upper(), ""))
    is_named = bool(own) and _bare(rest).startswith(match["letters"][0].lower() + own[:4])
    return match if is_named or _AFTER.match(after) or _OR.match(after) else None


def _is_option(line: re.Match[str], options: Mapping[str, str]) -> bool:
    """Whether a line is a letter with its option's words, or a letter with a mark after it."""
    own = _bare(options.get(line["letters"], ""))
    has_mark = line.string.strip()[1:2] != " "
    return has_mark or (bool(own) and _bare(line["text"]) == own)


def _option_of(text: str, options: Mapping[str, str]) -> str | None:
    """The one option whose words are just these."""
    said = _bare(text)
    hits = [letter for letter, words in options.items() if said and _bare(words) == said]
    return hits[0] if len(hits) == 1 else None


def _chosen(found: str, options: Mapping[str, str]) -> str | None:
    """Letters in order; None if one of them is no option."""
    named = re.sub("and", "", found, flags=re.IGNORECASE).upper()
    chosen = sorted(set(re.findall("[A-J]", named)))
    return "".join(chosen) if chosen and set(chosen) <= set(options) else None


def _is_denied(text: str, at: int) -> bool:
    return bool(_DENIED.search(_SENTENCE.split(text[max(0, at - 8) : at])[-1]))


def _plain(text: str) -> str:
    return _MARKS.sub("", unicodedata.normalize("NFKC", text))


def _bare(text: str) -> str:
    return "".join(re.findall(r"\w", unicodedata.normalize("NFKC", text))).lower()


def _number(text: str) -> Decimal | None:
    """A number alone, with thousands separators and a stop after it or not."""
    cleaned = unicodedata.normalize("NFKC", text).strip().rstrip(".。").replace(",", "")
    try:
        value = Decimal(cleaned.replace("−", "-"))
    except InvalidOperation:
        return None
    return value if value.is_finite() else None
