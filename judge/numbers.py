"""Amounts as finance answers write them: a number, its scale, and what it measures.

    3,500万元    written 3500, exponent 4, CNY      17.90%   written 17.9, exponent -2, ratio
    $(9.8) million   written -9.8, exponent 6, USD   160.1    written 160.1, no unit

A text is read as one quantity or none; a range, two different numbers or an oversized expression is
none. Of equations only the right side of the last one counts.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from judge.expression import NUMBER, NotArithmetic, evaluate, literal
from judge.han_numerals import in_digits, joined, shares_in_digits
from judge.number_text import plain
from judge.units import PREFIXES, RATIO, SCALES, UNITS, either

MAX_CHARS = 600
"""A longer text is not read."""
RELATIVE_TOLERANCE = 0.002
ABSOLUTE_TOLERANCE = 1e-9
"""Lets a number with rounding errors agree with 0."""

_PREFIX = either(PREFIXES)
_SUFFIX = rf"\s*(?P<scale>{either(SCALES)})?\s*(?P<unit>{either(UNITS)})?"
_QUANTITY = re.compile(
    rf"(?<![A-Za-z0-9_.第])(?<![0-9],)(?P<sign>[-+负]?)\s*(?P<prefix>{_PREFIX})?\s*(?P<inner>[-+]?)"
    rf"(?P<number>{NUMBER})(?![0-9]|[.,][0-9]){_SUFFIX}(?![A-Za-z])"
)
_IN_BRACKETS = re.compile(
    rf"(?P<prefix>{_PREFIX})?\s*\((?P<inner>\s*(?:{_PREFIX})?\s*)(?P<number>{NUMBER})\s*(?P<percent>%?)\)"
    rf"{_SUFFIX}"
)
_ARITHMETIC = re.compile(rf"(?P<sum>[-+*/^()0-9.,eE%\s]*[)0-9%])(?P<tail>{_SUFFIX})")
_SIGN_OF_MONEY = re.compile(rf"(?:{_PREFIX})\s*(?=[(.0-9])")
_RANGE = re.compile(
    rf"{NUMBER}\s*(?:{either([*SCALES, *UNITS])})*\s*(?:~|±|至|到|(?<![A-Za-z])to(?![A-Za-z]))"
    rf"\s*(?:{_PREFIX})?\s*[-+]?{NUMBER}"
)
_SPAN = re.compile(rf"({NUMBER})%?-({NUMBER})\s*(?:{either([*SCALES, *UNITS])})*")
_EQUALS = re.compile(r"[=≈]+|约等于|等于")
_COMPARES = re.compile(r"[<>≤≥]")
_ASIDE = re.compile(
    r"(?:19|20)[0-9]{2}\s*年(?:度|[上下]半年|末|初|底)?(?:第?[一二三四1-4]季度)?"
    r"|(?<![0-9.个])[0-9]{1,2}(?:[~-][0-9]{1,2})?月(?:份|[0-9]{1,2}日|末|底)?"
    r"|(?:19|20)[0-9]{2}[-/][0-9]{1,2}[-/][0-9]{1,2}(?![0-9])"
    r"|(?<![A-Za-z])(?:in|for|by|during|since|FY|fiscal|year)\s*(?:19|20)[0-9]{2}(?![0-9.,]*[0-9%])"
    r"|(?:保留|精确到|四舍五入到?)[^0-9]{0,6}[0-9]{1,2}\s*位(?:小数)?"
    r"|(?:to|at)\s+[0-9]{1,2}\s+(?:decimal|significant)\s+(?:places?|figures?|digits?)",
    re.IGNORECASE,
)
"""Dates and rounding instructions; ignored if there is another number."""
_BRACKETS = str.maketrans("〔［【{[〕］】}]", "((((()))))")


@dataclass(frozen=True, slots=True)
class Quantity:
    written: float
    """The number as written, without its scale."""
    exponent: int = 0
    """Power of ten of scale and unit: 4 for 万, -2 for %."""
    kind: str = ""
    """What the unit measures (`CNY`, `ratio`, `share`, …); empty without a unit."""

    @property
    def amount(self) -> float:
        return self.written * 10.0**self.exponent

    @property
    def has_unit(self) -> bool:
        return bool(self.kind) or self.exponent != 0


def readings(text: str) -> tuple[Quantity, ...]:
    """All forms of the one quantity that a text states (0.08亿元，即800万元 has two).

    Empty if it states none, or different ones.
    """
    if len(text) > MAX_CHARS:
        return ()
    result = _result(joined(shares_in_digits(plain(text))))
    if in_brackets := _IN_BRACKETS.fullmatch(result):
        return (_negative(in_brackets),)
    if _is_span(result) or _RANGE.search(_ASIDE.sub(" ", result)):
        return ()
    try:
        if computed := _arithmetic(result):
            return (computed,)
        return _mentioned(result) or _mentioned(joined(in_digits(result)))
    except NotArithmetic:
        return ()


def agree(
    answer: Quantity, reference: Quantity, relative_tolerance: float = RELATIVE_TOLERANCE
) -> bool:
    """Whether an answer states the reference's amount.

    If both have a unit, the units count: 0.08亿元 is 800万元, and 5% is not 5元. If one has none,
    the question gave its unit: the other may agree as written (6.9% with 6.9) or in full (6.9% with
    0.069).
    """
    if answer.kind and reference.kind and answer.kind != reference.kind:
        return False
    if _close(answer.amount, reference.amount, relative_tolerance):
        return True
    both = answer.has_unit and reference.has_unit
    return not both and _close(answer.written, reference.written, relative_tolerance)


def _result(text: str) -> str:
    """The text after the last equals sign that has any: 23.5 in NPV=23.5>0."""
    parts = [part.strip() for part in _EQUALS.split(text)]
    result = next((part for part in reversed(parts) if part), "")
    result = _COMPARES.split(result)[0].strip()
    unopened = result.count(")") > result.count("(")
    return result.removesuffix(")") if unopened else result


def _close(value: float, reference: float, relative: float) -> bool:
    # The extra 1e-9 keeps a number exactly at the tolerance inside it, despite rounding.
    allowed = relative * abs(reference) * (1 + 1e-9)
    return abs(value - reference) <= max(allowed, ABSOLUTE_TOLERANCE)


def _mentioned(text: str) -> tuple[Quantity, ...]:
    found = _scan(_ASIDE.sub(" ; ", text)) or _scan(text)
    first = next(iter(found), None)
    if first and all(_restates(other, first) for other in found):
        return tuple(dict.fromkeys(found))
    return ()


def _restates(other: Quantity, first: Quantity) -> bool:
    """The same quantity, or the same amount rounded in another scale: 17.9% (0.17895)."""
    if other.exponent == first.exponent:
        return other == first
    same_kind = not (other.kind and first.kind) or other.kind == first.kind
    return same_kind and _close(other.amount, first.amount, RELATIVE_TOLERANCE)


def _scan(text: str) -> list[Quantity]:
    found = []
    for match in _QUANTITY.finditer(text):
        negative = (match["sign"] in ("-", "负")) != (match["inner"] == "-")
        value = literal(match["number"]) * (-1 if negative else 1)
        found.append(_with_unit(value, match))
    return found


def _with_unit(written: float, match: re.Match[str]) -> Quantity:
    """A unit after the number overrides the sign before it: $5美元, ¥5万."""
    exponent = SCALES.get(match["scale"] or "", 0)
    prefix = match.groupdict().get("prefix")
    kind, power = UNITS.get(match["unit"] or "", (PREFIXES.get(prefix or "", ""), 0))
    return Quantity(written, exponent + power, kind)


def _negative(match: re.Match[str]) -> Quantity:
    """(1,234) and $(9.8) million, the accounting form of negative amounts."""
    quantity = _with_unit(-literal(match["number"]), match)
    kind = quantity.kind or PREFIXES.get(match["inner"].strip(), "")
    if match["percent"]:
        return Quantity(quantity.written, quantity.exponent - 2, RATIO)
    return Quantity(quantity.written, quantity.exponent, kind)


def _arithmetic(text: str) -> Quantity | None:
    """The value of an expression and the unit after it; None if there is nothing to compute."""
    match = _ARITHMETIC.fullmatch(_SIGN_OF_MONEY.sub("", text.translate(_BRACKETS)))
    if not match or not re.search(r"[0-9)%]\s*[-+*/^]", match["sum"]):
        return None
    value = evaluate(match["sum"])
    if match["sum"].endswith("%"):
        return Quantity(value * 100, -2, RATIO)
    return _with_unit(value, match)


def _is_span(text: str) -> bool:
    """5-10 is a range; 5 - 10 and 10-5 are subtractions."""
    match = _SPAN.fullmatch(text)
    return match is not None and literal(match[1]) < literal(match[2])
