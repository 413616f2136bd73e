"""Units and scales of numbers: what they measure, and their powers of ten."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

RATIO = "ratio"

SCALES: Mapping[str, int] = {
    **{"万亿": 12, "千亿": 11, "百亿": 10, "十亿": 9, "亿": 8},
    **{"千万": 7, "百万": 6, "十万": 5, "万": 4, "千": 3, "百": 2},
    **{"trillion": 12, "billion": 9, "million": 6, "thousand": 3},
    **{"tn": 12, "bn": 9, "mn": 6, "mm": 6, "k": 3, "m": 6, "b": 9},
    **{"K": 3, "M": 6, "B": 9, "T": 12},
}
"""Word → power of ten."""

_RATIOS: Mapping[str, int] = {
    **dict.fromkeys(["个百分点", "百分点", "percentage points", "percentage point"], -2),
    **dict.fromkeys(["%", "percent", "per cent", "pct"], -2),
    **dict.fromkeys(["个基点", "基点", "basis points", "basis point", "bps", "bp"], -4),
    **{"‰": -3, "成": -1, "倍": 0, "times": 0, "x": 0},
}
_MONEY: Mapping[str, tuple[str, ...]] = {
    "CNY": ("元人民币", "人民币", "元", "块钱", "圆", "RMB", "CNY", "yuan", "¥"),
    "USD": ("美元", "美金", "dollars", "dollar", "USD", "US$", "$"),
    "EUR": ("欧元", "euros", "euro", "EUR", "€"),
    "GBP": ("英镑", "pounds", "GBP", "£"),
    "JPY": ("日元", "yen", "JPY"),
    "HKD": ("港元", "港币", "HKD", "HK$"),
    **{code: (code,) for code in ("AUD", "BRL", "CAD", "CHF", "INR", "KRW", "NZD", "SGD", "TWD")},
}
_COUNTS: Mapping[str, tuple[str, ...]] = {
    "year": ("个年度", "年", "years", "year"),
    "month": ("个月", "月", "months", "month"),
    "day": ("个交易日", "天", "日", "days", "day"),
    "share": ("股", "shares", "share"),
    "contract": ("手", "contracts", "contract"),
    "unit": ("单位", "units", "unit"),
    **{word: (word,) for word in "份件个台套辆只户人家张笔吨"},
}
UNITS: Mapping[str, tuple[str, int]] = {
    **{word: (RATIO, power) for word, power in _RATIOS.items()},
    **{word: (kind, 0) for kind, words in {**_MONEY, **_COUNTS}.items() for word in words},
}
"""Word → (what it measures, power of ten)."""

PREFIXES: Mapping[str, str] = {
    **dict.fromkeys(("人民币", "RMB", "CNY", "¥"), "CNY"),
    **dict.fromkeys(("US$", "USD", "$"), "USD"),
    **dict.fromkeys(("HK$", "HKD"), "HKD"),
    **{"€": "EUR", "EUR": "EUR", "£": "GBP", "GBP": "GBP", "BRL": "BRL", "CAD": "CAD"},
}
"""Signs before a number → currency."""


_NOT_BEFORE = {"x": r"\s*[A-Za-z0-9]", "百": "分", "成": "[本交长]", "股": "东"}
"""What must not follow a word: the x of 2x3 is not "times", the 百 of 百分点 not 100."""


def either(words: Iterable[str]) -> str:
    """A pattern that matches any of the words, the longest first."""
    return "|".join(_whole(word) for word in sorted(words, key=lambda word: (-len(word), word)))


def _whole(word: str) -> str:
    """A pattern for one word; no letter may follow a Latin one."""
    if word in _NOT_BEFORE:
        return f"{word}(?!{_NOT_BEFORE[word]})"
    return re.escape(word) + (r"(?![A-Za-z])" if re.search(r"[A-Za-z]$", word) else "")
