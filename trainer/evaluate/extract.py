r"""What an answer states: the letters of a choice, or one exact text or number.

One extractor with a fixed order, never the best of several. The reasoning is not searched. What is
undecided (A或B), denied (不选A) or about a letter that is no option is no answer at all, which is
counted apart from a wrong one. Of a choice the first of these that exists decides, and the last of
its kind. In a box or answer tags, only what stands inside is read.

1. what is called the answer: 答案是B, the answer is B
2. what is picked: 故选AB, I choose B
3. a last or first line of letters alone, or of one option
4. what a description or a conclusion ends in: 错误的是C, 综上所述，B, it's C
5. what is called right, B正确; where that differs, the question may ask for what is wrong
6. letters at the very beginning, with an explanation after them
7. the words of one option alone, or at the end of the sentence that they complete, with the letter

All patterns read text in compatibility form (NFKC), which has one width of letters and brackets.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from decimal import Decimal, InvalidOperation

_UNDECIDED = ""
_LONGEST = 600  # characters that are read of one statement
_MARKS = re.compile(r"[*`$_#>]+|\\(?:text|mathrm|mathbf|textbf|rm)\b|\\[()\[\]]|(?m:^\|[|: \t-]+$)")
"""Markdown and TeX around a letter, and the rule below a table's head."""
_BOXED = re.compile(
    r"\\(?:boxed|fbox)\s*\{((?:[^{}]|\{[^{}]*\})*)\}|<answer>(.*?)(?:</answer>|\Z)", re.DOTALL
)
_OPEN, _CLOSE = r"[(\[【「“\"'{|\s]{0,20}", r"[)\]】」”\"'}|\s]{0,20}"
_AND = r"(?:[ \t、,;和及与&+]|以及|还有|\band\b|选?项)*"
_LETTERS = rf"[A-J](?:(?:{_AND}|[)\]】]{_AND}[(\[【])[A-J]){{0,9}}(?![A-Za-z0-9])"
_CHOSEN = rf"(?:选?项|选|(?i:option|choice)s?)?{_OPEN}(?P<letters>{_LETTERS}|[a-j](?=\W*$))"
_OR = (
    rf"{_CLOSE}[,(]?\s*(?:(?:或者?|还是|但?也)(?:不能?排除|[可能以是选为])*"
    rf"|/|or\s+(?:possibly\s|maybe\s)?|[-~至到]){_OPEN}(?:选?项)?{_OPEN}[A-J](?![A-Za-z0-9])"
)
_AFTER = (
    rf"{_CLOSE}(?:选?项|[一二两三四五六][项个])?\s*"
    r"(?:$|[.。,:;!?)\]\n(\[【—–-]|是?因为|(?:is\s+)?because\b|since\b)"
)
"""What may follow letters that are a choice: not the rest of a word, nor a word about them."""
_CHOICE = re.compile(
    rf"{_OPEN}(?:(?:不是|not\s)\s*[A-J]\W*(?:而是|but\s))?(?:\d+\s*[|.、:])?\s*"
    rf"{_CHOSEN}(?:(?P<or>{_OR})|(?={_AFTER}))"
)
_IS = r"(?:[应该当就只]|[最很]可能)*(?:[是为选:有=]|包括)+"
_BE = r"(?:\s*\b(?:is|are|be|would|should|must|therefore|thus|most|likely)\b)+"
_CALLED = re.compile(
    rf"答案{_CLOSE}(?:{_IS})?|答{_IS}"
    rf"|\banswers?(?:\s(?:to|for)\s[^.,:\n]{{1,40}}?(?={_BE}))?{_CLOSE}(?:{_BE})?\s*[:=—–-]?",
    re.IGNORECASE,
)
_PICKED = re.compile(
    r"选(?!项)[择用]?(?:的?[是为:])*|(?i:\b(?:choose|pick|select|go\s+with|say)\b(?:\s+both\b)?)"
)
_ENDS_IN = re.compile(
    rf"(?:\w{{0,9}}?的(?:选项|[一那]?项|说法|叙述|描述|表述|诊断|药物|措施)?|选项|一项){_IS}"
    rf"|(?:综上(?:所述)?|结论|因此|所以|故),?(?:{_IS})?|(?:应[该当]?|认为|觉得|[最很]可能|(?<!也)就)[是为]"
    r"|\b(?:not\s+)?(?:statement|option|choice|one|exception|diagnosis|true|false|(?:in)?correct"
    rf"|wrong|right)s?(?:\s+here)?{_BE}:?|\b(?:option|choice|correct)s?\s*[:=]|\b(?:it|this)(?:['’]s|{_BE})"
    r"|\b(?:therefore|thus|hence|so|in\s+conclusion|except(?:\s+for)?)\b,?",
    re.IGNORECASE,
)
_RIGHT = re.compile(
    rf"(?<![A-Za-z0-9])(?P<letters>{_LETTERS}){_CLOSE}(?:选?项)?[:才也是为最均都\s]*(?:正确|最佳"
    r"|对(?:的|(?!\w))|符合题意|本?题?的?答案|(?:is|are)\s+(?:the\s+)?(?:correct|right|best|(?:most\s+likely\s+)?answer))"
)
_ALONE = re.compile(rf"(?:[-•]\s*)?{_OPEN}{_CHOSEN}{_CLOSE}(?:选?项)?[.。,、;!]?\s*")
_LINE = re.compile(
    r"(?:[-•]\s*)?[(\[【]?(?P<letters>[A-J])\s*[)\]】.、:]"
    r"(?!\s*(?:[错不没]|[A-J]\b)|.*[,;。]\s*[A-J]\s*[:.、]).*"
)
_FIRST = re.compile(rf"{_OPEN}(?P<letters>{_LETTERS}){_CLOSE}[。,;]\s*(?=\S)(?![A-J](?![A-Za-z]))")
_SENTENCE = re.compile(r"[。!?\n]|;(?!\s*[A-J](?![A-Za-z]))")
_DENIED = re.compile(
    r"(?:不(?:应该?|[能可会宜要])?|非|没有?|不能?确定|[未误别勿]|避免|排除|如果|若|假如|错误[的地]?"
    r"|(?:\b(?:not|never|nor|if)|n['’]t)(?:\s+(?:think|believe|that|the|you|correct))*)\s*$",
    re.IGNORECASE,
)
_NUMBER = re.compile(r"[-−]?\d[\d,]*(?:\.\d+)?")
_RESULTS = tuple(
    re.compile(rf"(?:{names})\s*([^\s:”][^\n]*)", re.IGNORECASE)
    for names in (
        rf"(?:答案{_CLOSE}(?:(?:应该?)?[是为](?!正确的)|[:=]|(?<=[\s】\])|]))"
        rf"|\banswer(?:\s(?:to|for)\s[^:\n]{{1,60}}?(?={_BE}))?{_CLOSE}"
        rf"(?:{_BE}|[:=]|(?<=[\s\])|])(?=\d)))\s*:?",
        r"结果\s*[是为]?\s*:|(?m:^)结果[是为]?|结果[是为](?=\s*[-−]?\d)",
    )
)
_REMARK = re.compile(r"[。;!?]|\.\s|[,\s]*(?:因为|由于|即|because\b|since\b|i\.e\.)")


def letters(answer: str, options: Mapping[str, str]) -> str | None:
    """The letters that an answer chooses, in order; None if it chooses none.

    `options` are the question's, by their letters.
    """
    boxes = [box for box in _boxes(answer) if re.search(r"[^\W\d]", box)]
    text = shortened(boxes[-1] if boxes else answer, options)
    first = _FIRST.match(text)
    readings = (
        _stated(_CALLED, text, options),
        _stated(_PICKED, text, options),
        _line(text, options),
        _stated(_ENDS_IN, text, options),
        _right(text, options),
        _chosen(first["letters"], options) if first else None,
        option_of(text, options),
        _completed(answer, options),
    )
    return next((found for found in readings if found is not None), None) or None


def shortened(text: str, options: Mapping[str, str]) -> str:
    """The plain text with a letter in place of each option that is written out with its letter.

    All options in a row are the question repeated, and left out.
    """
    text = _plain(text).strip()
    words = {letter: _plain(each).strip(" .。\n") for letter, each in options.items()}
    for letter, each in words.items():
        text = text.replace(f"{each}({letter})", letter)
    each_one = "|".join(
        rf"{letter}[)\]】.、:|(\s]{'*' if len(each) > 1 else '+'}{re.escape(each)}(?=$|\W|[和与及])"
        for letter, each in words.items()
    )
    row = rf"(?<![A-Za-z0-9])(?:{each_one})(?:[ \t,;、。.和与及()•-]*\n?[ \t(•-]*(?:{each_one}))*"

    def short(found: re.Match[str]) -> str:
        named = re.sub(each_one, lambda one: one[0][0], found[0])
        if len(named) > 2 and re.sub("[^A-J]", "", named) == "".join(options):
            return ""
        is_stated = re.search(r"[:是为有]\s*$", text[: found.start()])
        return "、".join(re.findall("[A-J]", named)) if is_stated else named

    return re.sub(row, short, text).strip()


def option_of(text: str, options: Mapping[str, str]) -> str | None:
    """The one option whose words are just these."""
    said = _bare(text)
    hits = [letter for letter, words in options.items() if said and _bare(words) == said]
    return hits[0] if len(hits) == 1 else None


def same(answer: str, reference: str) -> bool | None:
    """Whether the stated result is exactly `reference`. None if the answer states nothing.

    A number is the only one in the statement, or on one side of an equals sign, the right one
    first. Texts are the same but for case, width, spaces and punctuation. What stands in brackets
    or as a reason after the result does not count against it.
    """
    stated = result(answer)
    if not stated:
        return None
    brief = _REMARK.split(re.sub(r"(?<=\S)\s*\([^()]*\)", "", stated), maxsplit=1)[0]
    wanted = _number(reference)
    if wanted is None:
        return _bare(reference) in (_bare(stated), _bare(brief))
    sides = [{_number(each) for each in _NUMBER.findall(side)} for side in brief.split("=")]
    return next((side for side in reversed(sides) if len(side) == 1), None) == {wanted}


def result(answer: str) -> str:
    """The stated result: the last box, else what follows the last 答案： or answer:, else the last
    结果： or a line's 结果, else the whole of an answer of one line; empty if there is none."""
    boxes = _boxes(answer)
    text = _plain(boxes[-1] if boxes else answer).strip()
    for pattern in _RESULTS:
        if marks := pattern.findall(text):
            return str(marks[-1]).strip()
    return text if boxes or not re.search(r"\n|:$", text) else ""


def _stated(pattern: re.Pattern[str], text: str, options: Mapping[str, str]) -> str | None:
    """The last choice that follows the pattern and is not denied."""
    found = None
    for match in pattern.finditer(text):
        rest = _SENTENCE.split(text[match.end() :][:_LONGEST].lstrip(), maxsplit=1)[0]
        choice = _CHOICE.match(rest)
        if _is_denied(text, match.start()):
            continue
        if own := option_of(rest, options):
            found = own
        elif choice:
            found = _UNDECIDED if choice["or"] else _chosen(choice["letters"], options)
    return found


def _line(text: str, options: Mapping[str, str]) -> str | None:
    """A last or first line of letters alone, or the only one that is an option's."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    listed = [match for line in lines if (match := _LINE.fullmatch(line))]
    for near in (lines[:-3:-1], lines[:2]):
        alone = [_ALONE.fullmatch(line) for line in near]
        if alone and alone[0]:
            is_list = len(alone) > 1 and alone[1] and alone[1]["letters"] != alone[0]["letters"]
            return _UNDECIDED if is_list else _chosen(alone[0]["letters"], options)
        if len(listed) == 1 and listed[0].string == near[0]:
            return _chosen(listed[0]["letters"], options)
    return None


def _right(text: str, options: Mapping[str, str]) -> str | None:
    matches = [match for match in _RIGHT.finditer(text) if not _is_denied(text, match.start())]
    found = {_chosen(match["letters"], options) for match in matches}
    return found.pop() if len(found) == 1 else _UNDECIDED if found else None


def _completed(answer: str, options: Mapping[str, str]) -> str | None:
    """The option that ends the answer, as the question's sentence goes on: 常用于B. 肝炎."""
    said = _bare(answer)
    ends = {letter: f"{letter.lower()}{_bare(words)}" for letter, words in options.items()}
    hits = [letter for letter, end in ends.items() if re.search(f"(?<!不)[是为于]{end}$", said)]
    return hits[0] if hits else None


def _chosen(found: str, options: Mapping[str, str]) -> str:
    """Letters in order; undecided if one of them is no option."""
    chosen = sorted(set(re.findall("[A-J]", found.replace("and", "").upper())))
    return "".join(chosen) if set(chosen) <= set(options) else _UNDECIDED


def _is_denied(text: str, at: int) -> bool:
    return bool(_DENIED.search(_SENTENCE.split(text[max(0, at - 24) : at])[-1]))


def _boxes(answer: str) -> list[str]:
    return [box for pair in _BOXED.findall(answer) for box in pair if box.strip()]


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
