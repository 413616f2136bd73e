"""What an answer states: the letters of a choice, or one exact text or number.

One extractor with a fixed order, never the best of several. The reasoning is not searched. What is
undecided (A或B), denied (不选A) or about a letter that is no option is no answer at all, which is
counted apart from a wrong one.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from decimal import Decimal, InvalidOperation

_MARKS = re.compile(r"[*`$_#>]+|\\(?:text|mathrm|mathbf|textbf|rm)\b|\\[()\[\]]")
"""Markdown and TeX around a letter."""
_BOXED = re.compile(r"\\(?:boxed|fbox)\s*\{((?:[^{}]|\{[^{}]*\})*)\}")
_STATES = re.compile(
    r"(?P<not>不是|并非|不应?该?|不能|不可|别|勿|排除|not\s+|n't\s+)?\s*"
    r"(?:"
    r"(?:(?:正确|最佳|最终|参考|标准|所以|因此|本题|我的|最后的?)*(?:答案|选项|选择|答)(?:应该?|就|只)?"
    r"(?:是|为|选|：|:|有|包括|=)+(?:选?项)?)"
    r"|(?:答案|正确答案|最终答案)\s*(?:应该?选?(?:是|为)?)?(?=\s*[(（\[【「“\"']?\s*[A-Ja-j]\b)"
    r"|(?:故|应|就|可|因此|所以|该|我|综上|本题|因而|则|要|直接|建议|最终)*[,，]?选(?:择|项|用)?(?:的?是|为|：|:)*"
    r"|(?:the\s+)?(?:correct\s+|best\s+|final\s+|right\s+|most\s+\w+\s+)*(?:answer|choice|option)s?"
    r"(?:\s+(?:is|are|would\s+be|should\s+be|must\s+be)|\s*[:：=])+(?:\s+(?:option|choice))?"
    r"|(?:i\s+)?(?:choose|pick|select|go\s+with)(?:\s+(?:option|choice))?"
    r")\s*[:：]?\s*",
    re.IGNORECASE,
)
_IS_RIGHT = re.compile(
    r"(?<![A-Za-z0-9])[(（\[【]?(?P<letters>[A-J](?:[、,，和及与\s]*[A-J])*)[)）\]】]?\s*(?:选?项)?\s*"
    r"(?:才?是|为|最|符合|均|都)*\s*(?:正确(?:答案|选项|的)?|最佳(?:答案|选项)?|对的|符合题意|is\s+(?:the\s+)?(?:correct|right|best))",
    re.IGNORECASE,
)
_JOINED = (
    r"[A-Ja-j](?:(?:\s|[、,，;；和及与&+]|以及|还有|\band\b|选?项|[)）】\]（(【\[])*"
    r"[A-Ja-j](?![A-Za-z]))*"
)
_LETTERS = re.compile(
    rf"[(（\[【「“\"'{{\s]*(?:选项|选|项|option\s+|choice\s+)?\s*[(（\[【「“\"']?(?P<letters>{_JOINED})(?P<after>.*)",
    re.DOTALL | re.IGNORECASE,
)
_AFTER = re.compile(
    r"\s*(?:$|[.。,，、:：;；!！?？)）\]】」”\"'}\n—–-]|选?项|(?:是|为|最|均|才|都)?正确|是|为|对|吗|\(|（|is\b|because\b|since\b|，?因为|的)"
)
_UNDECIDED = re.compile(
    r"\s*[)）]?\s*(?:或者?|还是|/|\bor\b|-|~|至|到)\s*[(（]?\s*(?:选项)?[A-J](?![A-Za-z0-9])",
    re.IGNORECASE,
)
_ALONE = re.compile(
    rf"[(（\[【「“\"'{{\s]*(?P<letters>{_JOINED})[)）\]】」”\"'}}\s]*[.。,，、;；!！]?\s*"
)
_LINE = re.compile(
    r"^\s*(?:[-•]\s*)?[(（\[【]?(?P<letter>[A-J])\s*[)）\]】.．、:：]\s*(?P<text>.*)$"
)
_NUMBER = re.compile(r"[-−]?\d[\d,]*(?:\.\d+)?")
_SENTENCE = re.compile(r"[。！!？?；;\n]")


def letters(answer: str, options: Mapping[str, str]) -> str | None:
    """The letters that an answer chooses, in order; None if it chooses none.

    `options` are the question's, by their letters.
    """
    text = _plain(answer)
    boxed = _BOXED.findall(answer)
    if boxed:
        return _stated(_plain(boxed[-1]), options)
    if found := _said(text, options):
        return found
    lines = [line for line in text.splitlines() if line.strip()]
    if not lines:
        return None
    for line in (lines[-1], lines[0]):
        if (alone := _ALONE.fullmatch(line)) and _is_upper(alone["letters"]):
            return _chosen(alone["letters"], options)
    return _listed(lines, options) or _named(text, options)


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
    marks = re.findall(
        r"(?:答案|结果|answer)\s*(?:是|为|is)?\s*[:：]?[ \t]*(\S[^\n]*)", text, re.IGNORECASE
    )
    if marks:
        return str(marks[-1]).strip()
    return text if "\n" not in text else ""


def _said(text: str, options: Mapping[str, str]) -> str | None:
    """What the last sentence says that names a choice and does not deny it."""
    found: list[tuple[int, str | None]] = []
    for match in _STATES.finditer(text):
        if match["not"] or _is_denied(text, match.start()):
            continue
        rest = _SENTENCE.split(text[match.end() :].lstrip("\n "), maxsplit=1)[0]
        if _begins_like_choice(rest, options):
            found.append((match.start(), _stated(rest, options)))
    for match in _IS_RIGHT.finditer(text):
        if not _is_denied(text, match.start("letters")) and _is_upper(match["letters"]):
            found.append((match.start(), _chosen(match["letters"], options)))
    return max(found, key=lambda each: each[0])[1] if found else None


def _begins_like_choice(rest: str, options: Mapping[str, str]) -> bool:
    if (match := _LETTERS.match(rest)) and _ends_there(match, options):
        return True
    return _option_of(rest, options) is not None


def _stated(rest: str, options: Mapping[str, str]) -> str | None:
    """The letters, or the option's own words, that a statement begins with."""
    match = _LETTERS.match(rest)
    if match and _ends_there(match, options):
        if _UNDECIDED.match(match["after"]):
            return None
        return _chosen(match["letters"], options)
    return _option_of(rest, options)


def _ends_there(match: re.Match[str], options: Mapping[str, str]) -> bool:
    """Whether the letters are a choice: 选B, 选B肝癌, but not the C of C反应蛋白."""
    whole = _bare(match["letters"] + match["after"])
    if any(text and _bare(text) == whole for text in options.values()):
        return False
    if _AFTER.match(match["after"]) or _UNDECIDED.match(match["after"]):
        return True
    last = match["letters"][-1].upper()
    own = _bare(options.get(last, ""))
    return bool(own) and _bare(match["after"]).startswith(own[:4])


def _option_of(rest: str, options: Mapping[str, str]) -> str | None:
    """The one option whose words are just these."""
    said = _bare(rest)
    hits = [letter for letter, text in options.items() if _bare(text) and _bare(text) == said]
    return hits[0] if len(hits) == 1 else None


def _chosen(found: str, options: Mapping[str, str]) -> str | None:
    """Letters in order; None if one of them is no option."""
    chosen = sorted(set(re.findall("[A-J]", re.sub("and", "", found, flags=re.I).upper())))
    return "".join(chosen) if chosen and set(chosen) <= set(options) else None


def _listed(lines: list[str], options: Mapping[str, str]) -> str | None:
    """The letter of an answer that is one option, perhaps with an explanation after it."""
    found = [match for line in lines if (match := _LINE.match(line))]
    if len(found) == 1 and found[0].string in (lines[0], lines[-1]):
        return _chosen(found[0]["letter"], options)
    return None


def _named(text: str, options: Mapping[str, str]) -> str | None:
    """The option whose words are the whole answer."""
    return _option_of(text, options)


def _is_denied(text: str, at: int) -> bool:
    before = _SENTENCE.split(text[max(0, at - 8) : at])[-1]
    return bool(
        re.search(r"(?:不|非|没有?|排除|不能|错误(?:的|地)?|not|n't)\s*$", before, re.IGNORECASE)
    )


def _is_upper(found: str) -> bool:
    return not re.search(r"(?<![a-z])[a-j](?![a-z])", found)


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
