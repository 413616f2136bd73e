"""Rewrites numbers that are not in plain digits, so that one reader serves them all.

壹佰貳拾萬   120万        twelve million   12 million      1.234.567,89   1234567.89
四分之三     0.75         一年半           1.5年           12,34,567      1234567
"""

from __future__ import annotations

import re

from judge.finance.han_numerals import value_of
from judge.text.written_form import simplified

_CAPITALS = str.maketrans(
    "壹贰貳叁參叄肆伍陆陸柒捌玖拾佰仟弌弍弎", "一二二三三三四五六六七八九十百千一二三"
)
_ONES = {
    word: value
    for value, word in enumerate(
        [
            "zero",
            "one",
            "two",
            "three",
            "four",
            "five",
            "six",
            "seven",
            "eight",
            "nine",
            "ten",
            "eleven",
            "twelve",
            "thirteen",
            "fourteen",
            "fifteen",
            "sixteen",
            "seventeen",
            "eighteen",
            "nineteen",
        ]
    )
}
_TENS = {
    word: 10 * value
    for value, word in enumerate(
        ["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"], start=2
    )
}
_WORD = "|".join([*sorted([*_ONES, *_TENS], key=len, reverse=True), "hundred"])
_ENGLISH = re.compile(
    rf"(?<![A-Za-z])(?:{_WORD})(?:(?:[\s-]+(?:and\s+)?)(?:{_WORD}))*(?:\s+point(?:\s+(?:{_WORD}))+)?"
    r"(?![A-Za-z])",
    re.IGNORECASE,
)
_SPACED = re.compile(r"(?<![\d.,])\d{1,3}(?:[ '’]\d{3})+(?![\d'’]| \d)")
_INDIAN = re.compile(r"(?<![\d.,])\d{1,2}(?:,\d{2})+,\d{3}(?![\d,])")
_EUROPEAN = re.compile(
    r"(?<![\d.,])(?:\d{1,3}(?:\.\d{3}){2,}(?:,\d+)?|\d{1,3}(?:\.\d{3})+,\d{1,2})(?![\d,.])"
)
_NUMERAL = r"[零〇一二两三四五六七八九十百千]{1,12}"
_PART_OF = re.compile(rf"({_NUMERAL}|\d+)分之({_NUMERAL}|\d+)")
_COINS = re.compile(
    rf"(?P<whole>{_NUMERAL}|\d+)(?:元|块)(?:(?P<tenth>{_NUMERAL}|\d)角)?"
    rf"(?:零?(?P<cent>{_NUMERAL}|\d{{1,2}})分)?(?![分角])"
)
_MILLION_THOUSAND = re.compile(r"(\d+)\s*million\s+(?:and\s+)?(\d+)\s*thousand", re.IGNORECASE)
_COMMA_AFTER_SPACES = re.compile(r"(?<![\d.,])(\d{1,3}(?:[ ']\d{3})+),(\d{1,2})(?!\d)")
_YEARS_AND_MONTHS = re.compile(rf"({_NUMERAL}|\d+)年[零又]?({_NUMERAL}|\d+)个月")
_HOURS_AND_MINUTES = re.compile(rf"({_NUMERAL}|\d+)个?小时({_NUMERAL}|\d+)分钟?")
_TENTHS = re.compile(r"([一二两三四五六七八九])成([一二三四五六七八九])")
_FRACTIONS = {"half": 0.5, "one half": 0.5, "a half": 0.5, "one quarter": 0.25, "a quarter": 0.25}
_FRACTIONS |= {"three quarters": 0.75, "three-quarters": 0.75, "一半": 0.5}
_TO_ONE = re.compile(rf"({_NUMERAL})比({_NUMERAL})")
_AND_HALF = re.compile(r"(\d+)\s+and\s+a\s+half", re.IGNORECASE)
_AND_A_HALF = re.compile(rf"({_NUMERAL}|\d+)(个?)(年|季度|月|小时|天)半")
_COUNT_AND_A_HALF = re.compile(rf"({_NUMERAL}|\d+)个半(年|季度|月|小时)")
_HALF = re.compile(r"(?<![\d一二两三四五六七八九十上下前后])半个?(年|季度|月|小时|天)(?!度?报)")


def in_plain_digits(text: str) -> str:
    """`text`, a short one in NFKC, with these numbers in digits."""
    text = simplified(text).translate(_CAPITALS)
    if (fraction := _FRACTIONS.get(text.lower())) is not None:
        return repr(fraction)
    text = _AND_HALF.sub(lambda found: f"{found[1]}.5", _ENGLISH.sub(_english, text))
    text = re.sub(r"(?<=\d)_(?=\d{3})", "", text)
    text = re.sub(r"(?i)(?<![A-Za-z])half a (?=million|billion)", "0.5 ", text)
    text = re.sub(
        r"(?i)(?<![A-Za-z])(?<!half )a (?=(?:million|billion|trillion)(?![A-Za-z]))", "1 ", text
    )
    text = _MILLION_THOUSAND.sub(lambda found: f"{found[1]}.{int(found[2]):03d} million", text)
    text = _COMMA_AFTER_SPACES.sub(lambda f: f"{re.sub('[^0-9]', '', f[1])}.{f[2]}", text)
    text = _SPACED.sub(lambda found: re.sub(r"\D", "", found.group()), text)
    text = _INDIAN.sub(lambda found: found.group().replace(",", ""), text)
    text = _EUROPEAN.sub(lambda found: found.group().replace(".", "").replace(",", "."), text)
    text = _PART_OF.sub(_part, text)
    text = _COINS.sub(_with_coins, text)
    text = _TO_ONE.sub(lambda found: f"{_value(found[1])}:{_value(found[2])}", text)
    text = _TENTHS.sub(lambda found: f"{value_of(found[1]):g}{value_of(found[2]):g}%", text)
    text = _YEARS_AND_MONTHS.sub(lambda found: _summed(found, 12, "个月"), text)
    text = _HOURS_AND_MINUTES.sub(lambda found: _summed(found, 60, "分钟"), text)
    text = _AND_A_HALF.sub(lambda found: _plus_half(found, found[2] + found[3]), text)
    text = _COUNT_AND_A_HALF.sub(lambda found: _plus_half(found, "个" + found[2]), text)
    return _HALF.sub(lambda found: f"0.5{'' if found[1] in '年天' else '个'}{found[1]}", text)


def _value(numeral: str) -> float | None:
    return float(numeral) if numeral.isascii() else value_of(numeral)


def _part(found: re.Match[str]) -> str:
    """四分之三; a hundredth and the like are shares, which are read with their unit."""
    whole, part = _value(found[1]), _value(found[2])
    if not whole or part is None or found[1] in "百千万":
        return found.group()
    return repr(part / whole)


def _plus_half(found: re.Match[str], unit: str) -> str:
    value = _value(found[1])
    return found.group() if value is None else f"{value + 0.5:g}{unit}"


def _summed(found: re.Match[str], factor: int, unit: str) -> str:
    large, small = _value(found[1]), _value(found[2])
    if large is None or small is None:
        return found.group()
    return f"{large * factor + small:g}{unit}"


def _with_coins(found: re.Match[str]) -> str:
    """12元5角6分 as 12.56元."""
    whole, tenth, cent = (_value(found[name] or "0") for name in ("whole", "tenth", "cent"))
    if not (found["tenth"] or found["cent"]) or whole is None or tenth is None or cent is None:
        return found.group()
    return f"{whole + tenth / 10 + cent / 100:.2f}元"


def _english(found: re.Match[str]) -> str:
    """The words' value below a thousand; words that are no number in this order stay."""
    whole, _, fraction = found.group().lower().partition(" point")
    total, last = 0, 1000
    for word in re.split(r"[\s-]+", whole):
        if word == "and":
            continue
        if word == "hundred":
            if not 0 < total < 10:
                return found.group()
            total, last = total * 100, 100
            continue
        value = _ONES.get(word, _TENS.get(word, 0))
        if (value >= 10 and last <= 99) or (value < 10 and last < 20):
            return found.group()
        total, last = total + value, value
    digits = [_ONES.get(word) for word in fraction.split()]
    if any(digit is None or digit > 9 for digit in digits):
        return found.group()
    return f"{total}{'.' if digits else ''}{''.join(map(str, digits))}"
