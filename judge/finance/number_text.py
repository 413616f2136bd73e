"""Normalises a numeric answer: plain signs and digits, no LaTeX, no bold."""

from __future__ import annotations

import re
import unicodedata

_SUPERSCRIPT = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁻", "0123456789-")
_RAISED = re.compile("[⁰¹²³⁴⁵⁶⁷⁸⁹⁻]+")
_LONE_COMMA = re.compile(r"，(?!\d{3}(?!\d))|(?<!\d)，")
_PUNCTUATION = str.maketrans(
    {
        **dict.fromkeys("−﹣‐‑", "-"),
        **dict.fromkeys("〜～–—", "~"),
        **dict.fromkeys("≒≃≅", "≈"),
        "×": "*",
        "·": "*",
        "÷": "/",
        "⁄": "/",
        "￥": "¥",
    }
)
_LATEX_WORDS = (
    (re.compile(r"\\(?:left|right|displaystyle|bigl?|bigr|quad|qquad)(?![A-Za-z])"), " "),
    (
        re.compile(r"\\(?:f?box(?:ed)?|text(?:bf|rm)?|math(?:rm|bf|it)|mbox)\s*\{([^{}]*)\}"),
        r" \1 ",
    ),
    (re.compile(r"\\[dt]?frac\s*\{([^{}]*)\}\s*\{([^{}]*)\}"), r"((\1)/(\2))"),
    (re.compile(r"\^\{([^{}]*)\}"), r"^(\1)"),
    (re.compile(r"\\(?:times|cdot)(?![A-Za-z])"), "*"),
    (re.compile(r"\\div(?![A-Za-z])"), "/"),
    (re.compile(r"\\approx(?![A-Za-z])"), "≈"),
    (re.compile(r"\\pm(?![A-Za-z])"), "±"),
    (re.compile(r"\{,\}"), ","),
    (re.compile(r"\\[!,;: ]"), ""),
    (re.compile(r"\\[()\[\]]"), " "),
    (re.compile(r"\\([%&#_{}])"), r"\1"),
)
_NESTING = 3
"""Levels of nested fractions that are read."""
_DOLLARS = re.compile(r"\$\$|(?<!\\)\$(?=\S)([^$\n]*?\S)(?<!\\)\$(?!\d)")
_BOLD = re.compile(r"(?<![\w)*])\*\*(?=[^\s*])([^*\n]+?)\*\*(?![\w(*])")
_DASH_FOR_MINUS = re.compile(r"(?:^|(?<=[\s(=:：≈]))[–—](?=[\d.$¥€£])")
_EDGE = " \t\r\n`*_。、,;:!"
_THIN_SPACE = re.compile(r"(?<=\d)[\u2009\u202f\u00a0](?=\d{3}(?!\d))")


def plain(text: str) -> str:
    """The text with ASCII signs and digits; words stay. For short texts only: it is not linear."""
    text = _THIN_SPACE.sub(",", text)
    text = _RAISED.sub(lambda match: "^" + match.group().translate(_SUPERSCRIPT), text)
    text = _DASH_FOR_MINUS.sub("-", text)
    text = _LONE_COMMA.sub("、", text)
    text = _DOLLARS.sub(lambda match: f" {match.group(1) or ''} ", text).replace("\\$", "$")
    for pattern, plainer in _LATEX_WORDS * _NESTING:
        text = pattern.sub(plainer, text)
    text = _BOLD.sub(r"\1", unicodedata.normalize("NFKC", text.translate(_PUNCTUATION)))
    text = " ".join(text.translate(_PUNCTUATION).split())
    return text.lstrip(_EDGE).rstrip(_EDGE + ".")
