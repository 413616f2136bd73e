"""Units and scales of numbers: what they measure, and their powers of ten."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

RATIO = "ratio"
POINT = "point"
"""A percentage point: the difference of two percentages, which is no percentage."""
BASIS_POINT = "basis point"
"""A hundredth of either."""


def _cases(word: str) -> set[str]:
    """A Latin word of several letters also in capitals."""
    is_word = word.isascii() and len(word) > 1
    return {word, word.upper(), word.capitalize()} if is_word else {word}


_SCALES: Mapping[str, int] = {
    **{"万亿": 12, "千亿": 11, "百亿": 10, "十亿": 9, "亿": 8},
    **{"个亿": 8, "兆": 12, "千万": 7, "百万": 6, "十万": 5, "万": 4, "千": 3, "百": 2},
    **{"lakhs": 5, "lakh": 5, "crores": 7, "crore": 7},
    **{"trillion": 12, "billion": 9, "million": 6, "thousand": 3},
    **{"tn": 12, "bn": 9, "mn": 6, "mm": 6, "k": 3, "m": 6, "b": 9},
    **{"조": 12, "억": 8},
    **{"K": 3, "M": 6, "B": 9, "T": 12},
}
SCALES: Mapping[str, int] = {
    written: power for word, power in _SCALES.items() for written in _cases(word)
}
"""Word → power of ten."""

_RATIOS: Mapping[str, int] = {
    **dict.fromkeys(["%", "percent", "per cent", "pct"], -2),
    **{"‰": -3, "成": -1, "倍": 0, "times": 0, "x": 0},
}
_POINTS = "个百分点|个点|百分点|percentage points|percentage point|ppts|ppt|pp"
_BASIS_POINTS = "个基点|基点|个bp|个BP|basis points|basis point|bips|bps|bp"
_MONEY: Mapping[str, tuple[str, ...]] = {
    "CNY": ("元人民币", "元（人民币）", "人民币", "元", "块钱", "圆", "RMB", "CNY", "yuan", "¥"),
    "USD": ("美元", "美金", "dollars", "dollar", "USD", "US$", "$"),
    "EUR": ("欧元", "euros", "euro", "EUR", "€"),
    "GBP": ("英镑", "pounds", "GBP", "£"),
    "JPY": ("日元", "yen", "JPY"),
    "HKD": ("港元", "港币", "港纸", "HKD", "HK$"),
    "TWD": ("新台币", "台币", "TWD", "NT$"),
    "AUD": ("澳元", "澳币", "AUD", "A$"),
    "CAD": ("加元", "加币", "CAD", "C$"),
    "SGD": ("新加坡元", "新元", "新币", "SGD", "S$"),
    "CHF": ("瑞士法郎", "瑞郎", "CHF"),
    "KRW": ("韩元", "韩币", "won", "KRW", "₩"),
    "INR": ("印度卢比", "卢比", "rupees", "rupee", "INR", "₹"),
    "THB": ("泰铢", "baht", "THB", "฿"),
    "RUB": ("卢布", "roubles", "rubles", "RUB", "₽"),
    "VND": ("越南盾", "VND", "₫"),
    "MOP": ("澳门元", "澳门币", "MOP"),
    **{
        code: (code,)
        for code in (
            *("BRL", "NZD", "MXN", "ZAR", "SEK", "NOK", "DKK", "PLN", "TRY", "IDR", "MYR", "PHP"),
            *("AED", "SAR", "ILS", "ARS", "CLP", "COP", "CZK", "HUF", "EGP"),
        )
    },
}
_COUNTS: Mapping[str, tuple[str, ...]] = {
    "year": ("个年度", "周年", "年", "years", "year", "yrs", "yr"),
    "quarter": ("个季度", "季度", "个季", "quarters", "quarter"),
    "month": ("个月", "months", "month"),
    "calendar month": ("月份", "月"),
    "week": ("个星期", "星期", "周", "weeks", "week"),
    "trading day": ("个交易日", "交易日", "trading days", "trading day"),
    "day": ("天", "日", "days", "day"),
    "hour": ("个小时", "小时", "hours", "hour", "hrs", "hr"),
    "minute": ("分钟", "minutes", "minute", "mins", "min"),
    "tonne": ("公吨", "吨", "tonnes", "tons", "ton"),
    "kilogram": ("公斤", "千克", "kilograms", "kg"),
    "gram": ("克", "grams", "gram"),
    "share": ("股", "shares", "share"),
    "contract": ("手",),
    "unit": ("单位", "units", "unit"),
    "ounce": ("盎司", "ounces", "ounce", "oz"),
    "kWh": ("千瓦时", "度", "kWh"),
    "人": ("人", "名", "people", "persons", "employees"),
    "家": ("家", "companies", "firms"),
    "份": ("份", "contracts", "contract"),
    **{word: (word,) for word in "件个台套辆只户张笔次项桶亩"},
}
_UNITS: Mapping[str, tuple[str, int]] = {
    **{word: (RATIO, power) for word, power in _RATIOS.items()},
    **dict.fromkeys(_POINTS.split("|"), (POINT, -2)),
    **dict.fromkeys(_BASIS_POINTS.split("|"), (BASIS_POINT, -4)),
    **{word: (kind, 0) for kind, words in {**_MONEY, **_COUNTS}.items() for word in words},
    **{f"元{word}": (kind, 0) for kind, words in _MONEY.items() for word in words if "币" in word},
}
UNITS: Mapping[str, tuple[str, int]] = {
    written: meant for word, meant in _UNITS.items() for written in _cases(word)
}
"""Word → (what it measures, power of ten)."""

_BEFORE = {*"元$€£¥₩₹฿₽₫", "人民币", "RMB", "港币", "美元", "新台币"}
PREFIXES: Mapping[str, str] = {
    word: kind
    for kind, words in _MONEY.items()
    for word in words
    if word in _BEFORE or word == kind or word.endswith("$")
}
"""Signs before a number → currency."""

CONVERTED: Mapping[str, tuple[str, float]] = {
    **{"year": ("time", 12.0), "quarter": ("time", 3.0), "month": ("time", 1.0)},
    **{"week": ("days", 7.0), "day": ("days", 1.0), "hour": ("days", 1 / 24)},
    **{"minute": ("days", 1 / 1440), "gram": ("mass", 1.0)},
    **{"tonne": ("mass", 1e6), "kilogram": ("mass", 1e3)},
}
"""What measures the same, and how many of the smallest unit it is. A month has no fixed number of
days, so the two groups of times stay apart."""


def alike(one: str, other: str) -> bool:
    """Whether two kinds can be compared."""
    if one == other:
        return True
    kinds = {one, other}
    if BASIS_POINT in kinds:
        return kinds <= {BASIS_POINT, POINT, RATIO}
    return one in CONVERTED and other in CONVERTED and CONVERTED[one][0] == CONVERTED[other][0]


def smallest(kind: str) -> float:
    """How many of the smallest unit of its group one of a kind is."""
    return CONVERTED[kind][1] if kind in CONVERTED else 1.0


_NOT_BEFORE = {"x": r"\s*[A-Za-z0-9]", "百": "分(?!钟)", "成": "[本交长]", "股": "东"}
"""What must not follow a word: the x of 2x3 is not "times", the 百 of 百分点 not 100."""


def either(words: Iterable[str]) -> str:
    """A pattern that matches any of the words, the longest first."""
    return "|".join(_whole(word) for word in sorted(words, key=lambda word: (-len(word), word)))


def _whole(word: str) -> str:
    """A pattern for one word; no letter may follow a Latin one."""
    if word in _NOT_BEFORE:
        return f"{word}(?!{_NOT_BEFORE[word]})"
    return re.escape(word) + (r"(?![A-Za-z])" if re.search(r"[A-Za-z]$", word) else "")
