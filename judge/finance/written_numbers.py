"""Rewrites numbers that are not in plain digits, so that one reader serves them all.

壹佰貳拾萬   120万        twelve million   12 million      1.234.567,89   1234567.89
四分之三     0.75         一年半           1.5年           12,34,567      1234567
"""

from __future__ import annotations

import re
from collections.abc import Callable

from text_to_num import alpha2digit

from judge.finance.han_numerals import value_of
from judge.text.written_form import simplified

_CAPITALS = str.maketrans(
    "壹贰貳叁參叄参肆伍陆陸柒捌玖拾佰仟弌弍弎", "一二二三三三三四五六六七八九十百千一二三"
)
_WORD = (
    "zero|one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|thirteen|fourteen|fifteen|"
    "sixteen|seventeen|eighteen|nineteen|twenty|thirty|forty|fifty|sixty|seventy|eighty|ninety|hundred"
)
_ENGLISH = re.compile(
    rf"(?<![A-Za-z])(?<![0-9]\s)(?<![0-9])(?:{_WORD})(?:[\s-]+(?:and\s+)?(?:{_WORD}|thousand(?=\s+(?:and\s+)?(?:{_WORD}))))*"
    rf"(?:\s+point(?:\s+(?:{_WORD}))+)?(?![A-Za-z])",
    re.IGNORECASE,
)
"""Without a last thousand or million, which is a scale."""
_NUMERAL = r"[零〇一二两三四五六七八九十百千]{1,12}"
_N = rf"({_NUMERAL}|\d+)"
_ONE = r"([\d.]+|[一二两三四五六七八九])"
_SHARES = {
    **{"half": "0.5", "one half": "0.5", "a half": "0.5", "one quarter": "0.25", "一半": "0.5"},
    **{"a quarter": "0.25", "three quarters": "0.75", "three-quarters": "0.75"},
}
_Found = re.Match[str]
_REWRITTEN: tuple[tuple[str, str | Callable[[_Found], str]], ...] = (
    ("廿", "二十"),
    ("卅", "三十"),
    (r"翻了?一番", "增长100%"),
    (r"翻了?[两二]番", "增长300%"),
    ("百分之百", "100%"),
    ("腰斩", "下降50%"),
    (r"^(?:持平|没有变化|无变化|不变)$", "0%"),
    (r"(?<=[跌降涨增升少了])一半", "50%"),
    (rf"打?{_ONE}{_ONE}?折", lambda f: f"0.{_value(f[1]):g}{_value(f[2] or '0'):g}倍"),
    (rf"{_ONE}成半", lambda f: f"{_value(f[1]):g}5%"),
    (rf"{_ONE}成{_ONE}", lambda f: f"{_value(f[1]):g}{_value(f[2]):g}%"),
    (rf"(月[息利率]+)\s*{_ONE}分(?![之\d])", r"\1\2%"),
    (rf"(年[息利率]+)\s*{_ONE}厘", r"\1\2%"),
    (rf"(月[息利率]+)\s*{_ONE}厘", r"\1\2‰"),
    (r"(?<![\d.元角])(\d)[毛角](\d)?(?![\d.])分?", r"0.\1\2元"),
    (r"(?<![A-Za-z])a dozen", "12"),
    (r"(?<![A-Za-z])twice", "2 times"),
    (r"a quarter of a (?=million|billion)", "0.25 "),
    (r"(?<![A-Za-z])half a (?=million|billion)", "0.5 "),
    (r"(?<![A-Za-z])(?<!half )a (?=(?:million|billion|trillion)(?![A-Za-z]))", "1 "),
    (r"(\d+)\s+and\s+a\s+half", r"\1.5"),
    (r"([\d.]+)\s+cents(?![A-Za-z])", lambda f: f"${float(f[1]) / 100:g}"),
    (
        r"(\d+)\s*million\s+(?:and\s+)?(\d+)\s*thousand",
        lambda f: f"{f[1]}.{int(f[2]):03d} million",
    ),
    (r"(?<=\d)_(?=\d{3})", ""),
    (r"(?<![\d.,])(\d{1,3}(?:[ ']\d{3})+),(\d{1,2})(?!\d)", lambda f: f"{_bare(f[1])}.{f[2]}"),
    (r"(?<![\d.,])\d{1,3}(?:[ '’]\d{3})+(?![\d'’]| \d)", lambda f: _bare(f.group())),
    (r"(?<![\d.,])\d{1,2}(?:,\d{2})+,\d{3}(?![\d,])", lambda f: _bare(f.group())),
    (
        r"(?<![\d.,])(?:\d{1,3}(?:\.\d{3}){2,}(?:,\d+)?|\d{1,3}(?:\.\d{3})+,\d{1,2})(?![\d,.])",
        lambda f: f.group().replace(".", "").replace(",", "."),
    ),
    (rf"{_N}分之{_N}", lambda f: _part(f)),
    (
        rf"(?P<whole>{_NUMERAL}|\d+)(?:元|块)(?:(?P<tenth>{_NUMERAL}|\d)角)?"
        rf"(?:零?(?P<cent>{_NUMERAL}|\d{{1,2}})分)?(?![分角])",
        lambda f: _with_coins(f),
    ),
    (rf"({_NUMERAL})比({_NUMERAL})", lambda f: f"{_value(f[1])}:{_value(f[2])}"),
    (rf"{_N}年[零又]?{_N}个月", lambda f: _summed(f, 12, "个月")),
    (rf"{_N}个?小时{_N}分钟?", lambda f: _summed(f, 60, "分钟")),
    (rf"{_N}(个?)(年|季度|月|小时|天|吨|公斤|倍|块)半", lambda f: _plus_half(f, f[2] + f[3])),
    (rf"{_N}个半(年|季度|月|小时)", lambda f: _plus_half(f, "个" + f[2])),
    (
        r"(?<![\d一二两三四五六七八九十上下前后])半个?(年|季度|月|小时|天)(?!度?报)",
        lambda f: f"0.5{'' if f[1] in '年天' else '个'}{f[1]}",
    ),
)
"""Ways of writing and speaking → plainer ones, in this order."""


def in_plain_digits(text: str) -> str:
    """`text`, a short one in NFKC, with these numbers in digits."""
    text = simplified(text).translate(_CAPITALS)
    text = _SHARES.get(text.lower(), _ENGLISH.sub(_english, text))
    for pattern, plainer in _REWRITTEN:
        text = re.sub(pattern, plainer, text, flags=re.IGNORECASE)
    return text


def _bare(number: str) -> str:
    return re.sub("[^0-9]", "", number)


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
    """The words' value; words that are no number in this order stay."""
    digits = alpha2digit(found.group().lower(), "en", threshold=0)
    return digits if re.fullmatch(r"[0-9.]+", digits) else found.group()
