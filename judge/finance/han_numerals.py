"""Converts Chinese numerals to digits: 三千五百万, 百分之五, 1亿2000万."""

from __future__ import annotations

import re

from judge.finance.arithmetic import NUMBER
from judge.finance.units import SCALES, UNITS, either

_DIGITS = {**{sign: i for i, sign in enumerate("零一二三四五六七八九")}, "〇": 0, "两": 2}
_PLACES = {"十": 10, "百": 100, "千": 1000}
_NUMERAL = r"[零〇一二两三四五六七八九十百千]{1,12}(?:点[零〇一二三四五六七八九]{1,12})?"
_WHOLE = re.compile(rf"(负?)({_NUMERAL})(?=[万亿]|$)")
_BEFORE_UNIT = re.compile(
    rf"(?<![0-9.])({_NUMERAL})(?![零〇一二两三四五六七八九十百千点])"
    rf"(?={either([*SCALES, *UNITS])}|[万亿])"
)
_AT_THE_END = re.compile(
    rf"(?:(?<=[万亿])零?|(?<=[是为得约]))((?=[^点]*[十百千]){_NUMERAL})(?=$|[，。,;；)）])"
)
_SHARE_OF = re.compile(rf"([百千万])分之\s*({NUMBER}|{_NUMERAL})")
_PER = {"百": "%", "千": "‰", "万": "bp"}
_COMPOUND = re.compile(
    rf"({NUMBER})(亿|万)零?({NUMBER})(千万|百万|十万|万|千|百)?(?![0-9.,千百万亿])"
)


def shares_in_digits(text: str) -> str:
    """百分之五 as 5%, 千分之 as ‰, 万分之 as bp."""

    def share(match: re.Match[str]) -> str:
        value = value_of(match[2])
        number = match[2] if value is None else f"{value:g}"
        return number + _PER[match[1]]

    return _SHARE_OF.sub(share, text)


def in_digits(text: str) -> str:
    """Convert numerals before a scale or a unit, and one that is the whole text."""

    def digits(match: re.Match[str]) -> str:
        value = value_of(match[match.lastindex or 0])
        return match.group() if value is None else f"{value:g}"

    start = _WHOLE.match(text)
    if start and value_of(start[2]) is not None:
        text = f"{'-' if start[1] else ''}{value_of(start[2]):g}{text[start.end() :]}"
    return _AT_THE_END.sub(digits, _BEFORE_UNIT.sub(digits, text))


def joined(text: str) -> str:
    """1亿2000万 as 1.2亿: add the second part in the first part's scale."""

    def join(match: re.Match[str]) -> str:
        first, scale, second, second_scale = match.groups()
        power = SCALES.get(second_scale, 0) - SCALES[scale]
        if power >= 0:
            return match.group()
        total = float(first.replace(",", "")) + float(second.replace(",", "")) * 10.0**power
        return f"{total!r}{scale}"

    while (shorter := _COMPOUND.sub(join, text)) != text:
        text = shorter
    return text


def value_of(numeral: str) -> float | None:
    """The value of a numeral below ten thousand; None if it is not well formed."""
    whole, _, fraction = numeral.partition("点")
    value = _whole_part(whole)
    if value is None or "点" not in numeral:
        return value
    if not fraction or any(sign not in _DIGITS for sign in fraction):
        return None
    return float(f"{value:g}.{''.join(str(_DIGITS[sign]) for sign in fraction)}")


def _whole_part(numeral: str) -> float | None:
    if numeral and all(sign in _DIGITS for sign in numeral):
        return float("".join(str(_DIGITS[sign]) for sign in numeral))
    total, digit, last_place = 0, None, 10_000
    for sign in numeral:
        if sign in _DIGITS:
            if digit:
                return None
            digit = _DIGITS[sign]
            continue
        place = _PLACES.get(sign)
        if place is None or place >= last_place or (digit is None and sign != "十"):
            return None
        total += (1 if digit is None else digit) * place
        digit, last_place = None, place
    return float(total + (digit or 0)) if numeral else None
