"""Converts Chinese numerals to digits: 三千五百万, 百分之五, 1亿2000万."""

from __future__ import annotations

import re

import cn2an

from judge.finance.arithmetic import NUMBER, literal
from judge.finance.units import SCALES, UNITS, either

_NUMERAL = r"[零〇一二两三四五六七八九十百千]{1,12}(?:点[零〇一二三四五六七八九]{1,12})?"
_LONG = re.compile(
    r"(?<![0-9.零〇一二两三四五六七八九十百千万亿])([一二两三四五六七八九十百千]+[万亿](?!亿)"
    r"[零〇一二两三四五六七八九十百千万亿]+)(?![0-9点])"
)
"""A numeral of several parts: 一亿零三百万, 一万五."""
_WHOLE = re.compile(rf"(负?)({_NUMERAL})(?=[万亿]|$)")
_BEFORE_UNIT = re.compile(
    rf"(?<![0-9.])({_NUMERAL})(?![零〇一二两三四五六七八九十百千点])"
    rf"(?={either([*SCALES, *UNITS])}|[万亿])"
)
_AFTER_WORD = re.compile(rf"(?<=[是为得约])((?=[^点]*[十百千]){_NUMERAL})(?=$|[，。,;；)）])")
_SHARE_OF = re.compile(rf"([百千万])分之\s*({NUMBER}|{_NUMERAL})")
_PER = {"百": "%", "千": "‰", "万": "bp"}
_COMPOUND = re.compile(
    rf"({NUMBER})(亿|万)零?({NUMBER})(千万|百万|十万|万|千|百)?(?![0-9.,千百万亿])"
)


def shares_in_digits(text: str) -> str:
    """百分之五 as 5%, 千分之 as ‰, 万分之 as bp."""

    def share(match: re.Match[str]) -> str:
        value = value_of(match[2])
        return (match[2] if value is None else f"{value:g}") + _PER[match[1]]

    return _SHARE_OF.sub(share, text)


def in_digits(text: str) -> str:
    """Convert numerals before a scale or a unit, and one that is the whole text."""

    def digits(match: re.Match[str]) -> str:
        value = value_of(match[match.lastindex or 0])
        return match.group() if value is None else f"{value:.15g}"

    def long(match: re.Match[str]) -> str:
        value, scale = value_of(match[1]), "亿" if "亿" in match[1] else "万"
        return match.group() if value is None else f"{value / 10 ** SCALES[scale]:.15g}{scale}"

    text = _LONG.sub(long, text)
    start = _WHOLE.match(text)
    if start and value_of(start[2]) is not None:
        text = f"{'-' if start[1] else ''}{value_of(start[2]):g}{text[start.end() :]}"
    return _AFTER_WORD.sub(digits, _BEFORE_UNIT.sub(digits, text))


def joined(text: str) -> str:
    """1亿2000万 as 1.2亿: add the second part in the first part's scale."""

    def join(match: re.Match[str]) -> str:
        first, scale, second, second_scale = match.groups()
        power = SCALES.get(second_scale, 0) - SCALES[scale]
        if power >= 0:
            return match.group()
        return f"{literal(first) + literal(second) * 10.0**power!r}{scale}"

    while (shorter := _COMPOUND.sub(join, text)) != text:
        text = shorter
    return text


def value_of(numeral: str) -> float | None:
    """The value of a numeral; None if it is not well formed. 一万五 is 15000, as people say it."""
    if not numeral or numeral[0] in "百千万亿" or "点" in (numeral[0], numeral[-1]):
        return None
    try:
        return float(cn2an.cn2an(numeral, "smart"))
    except ValueError:
        return None
