"""Amounts as finance answers write them: a number, its scale, and what it measures.

    3,500万元    written 3500, exponent 4, CNY      17.90%   written 17.9, exponent -2, ratio
    $(9.8) million   written -9.8, exponent 6, USD   160.1    written 160.1, no unit

A text is read as one quantity or none; a range, two different numbers or an oversized expression is
none. Of equations only the right side of the last one counts.
"""

from __future__ import annotations

import re
from dataclasses import replace

from judge.finance.arithmetic import NUMBER, NotArithmetic, evaluate, literal
from judge.finance.han_numerals import in_digits, joined, shares_in_digits
from judge.finance.number_text import plain
from judge.finance.qualifiers import context_of
from judge.finance.quantity import RELATIVE_TOLERANCE, Quantity, close
from judge.finance.units import PREFIXES, RATIO, SCALES, UNITS, either
from judge.finance.written_numbers import in_plain_digits

MAX_CHARS = 600
"""A longer text is not read."""
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
_ALL_IN_BRACKETS = re.compile(
    rf"\((?P<inside>\s*(?:{_PREFIX})?\s*{NUMBER}\s*(?:{either(SCALES)})?\s*(?:{either(UNITS)})?)\s*\)"
)
_ARITHMETIC = re.compile(rf"(?P<sum>[-+*/^()0-9.,eE%\s]*[)0-9%])(?P<tail>{_SUFFIX})")
_SIGN_OF_MONEY = re.compile(rf"(?:{_PREFIX})\s*(?=[(.0-9])")
_RANGE = re.compile(
    rf"{NUMBER}\s*(?:{either([*SCALES, *UNITS])})*\s*(?:~|±|至|到|(?<![A-Za-z])to(?![A-Za-z]))"
    rf"\s*(?:{_PREFIX})?\s*[-+]?{NUMBER}"
)
_SPAN = re.compile(rf"({NUMBER})%?-({NUMBER})\s*(?:{either([*SCALES, *UNITS])})*")
_UNITS = rf"(?:\s*(?:{either([*SCALES, *UNITS])}))*"
_ONE_END = rf"(?:{_PREFIX})?\s*[-+]?{NUMBER}{_UNITS}"
_RANGE_ENDS = re.compile(
    rf"(?:约|在|为|介于|大约|从|between|from|about)?\s*(?P<low>{_ONE_END})\s*(?:~|-|至|到|和|与|to|and)\s*"
    rf"(?P<high>{_ONE_END})\s*(?:之?间|期)?",
    re.IGNORECASE,
)
_RATIO_OF = re.compile(
    rf"(?:约|比例[是为]?)?\s*(?P<part>{NUMBER})\s*(?:[:：∶比]|to)\s*(?P<over>{NUMBER})"
)
_BRACKETED = re.compile(rf"(?<=[\u4e00-\u9fff:$¥])\s*\((?P<number>{NUMBER}%?)\)")
"""An amount below zero as accounts write it, within a sentence."""
_IN_UNIT = re.compile(
    rf"\(?单位[:：]?\s*(?P<unit>(?:{either([*SCALES, *UNITS])})+)\)?[,，;；]?\s*(?P<rest>.*[0-9])",
    re.DOTALL,
)
"""An account's heading: 单位：万元."""
_EQUALS = re.compile(r"(?<![<>])[=≈]+|约等于|(?<!不)等于")
_ASKED = re.compile(
    rf"(?:多少|几|单位[:：为是]?)\s*(?:个|人民币)?({either(s for s in SCALES if not s.isascii())})"
    r"|(?<![A-Za-z])in\s+(?:US\s+|\$\s*)?(thousands?|millions?|billions?|trillions?)",
    re.IGNORECASE,
)
_CONCLUDES = re.compile(
    r"所以|因此|故而|最终|最后|综上|于是|[合共总]计|总共|得到|得出|而是|应[为是该]+|(?<![A-Za-z])(?:so|therefore|thus|hence|finally)(?![A-Za-z])",
    re.IGNORECASE,
)
_NAMES_RATIO = re.compile(r"比例?[为是:]?\s*$")
_COMPARES = re.compile(r"[<>≤≥]")
_COMPARED = re.compile(r"^\s*([<>]=?|[≤≥])")
_AS_WORDS = {">": "超过", ">=": "至少", "≥": "至少", "<": "低于", "<=": "至多", "≤": "至多"}
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


_DENIED = Quantity(float("nan"))
"""Stands for a number that the text denies."""


def readings(text: str) -> tuple[Quantity, ...]:
    """All forms of the one quantity that a text states (0.08亿元，即800万元 has two).

    Empty if it states none, or different ones.
    """
    if len(text) > MAX_CHARS:
        return ()
    if in_unit := _IN_UNIT.fullmatch(text):
        text = in_unit["rest"] + in_unit["unit"]
    result = _result(joined(shares_in_digits(in_plain_digits(plain(text)))))
    if in_brackets := _IN_BRACKETS.fullmatch(result):
        return (_negative(in_brackets),)
    if all_in := _ALL_IN_BRACKETS.fullmatch(result):
        result = f"-{all_in['inside'].strip()}"
    if ratio := _RATIO_OF.fullmatch(result):
        over = literal(ratio["over"])
        return (Quantity(literal(ratio["part"]) / over),) if over else ()
    result = _BRACKETED.sub(r"-\g<number>", result)
    if _is_span(result) or _RANGE.search(_ASIDE.sub(" ", result)):
        return ()
    try:
        if computed := _arithmetic(result):
            return (computed,)
        return _in_either_digits(result)
    except NotArithmetic:
        return ()


def _in_either_digits(text: str) -> tuple[Quantity, ...]:
    """The quantity in plain digits, unless one in Chinese numerals of the same kind contradicts."""
    converted = joined(in_digits(text))
    plainly = _mentioned(text)
    if not plainly or converted == text:
        return plainly or _mentioned(converted)
    others = [each for each in _scan(converted) if each is not None and each.kind]
    alike_ones = [each for each in others if each.kind == plainly[0].kind]
    return plainly if all(_restates(each, plainly[0]) for each in alike_ones) else ()


def span(text: str) -> tuple[Quantity, Quantity] | None:
    """The two ends of a range, 5% and 10% for 5%-10%; None if the text is no range.

    A lower end without a unit has the upper one's.
    """
    if len(text) > MAX_CHARS:
        return None
    match = _RANGE_ENDS.fullmatch(joined(in_digits(shares_in_digits(in_plain_digits(plain(text))))))
    if match is None:
        return None
    ends = readings(match["low"]), readings(match["high"])
    if len(ends[0]) != 1 or len(ends[1]) != 1:
        return None
    (low,), (high,) = ends
    if not low.has_unit:
        low = replace(low, exponent=high.exponent, kind=high.kind)
    return low, high


def asked_scale(question: str) -> int | None:
    """The power of ten that a question asks for: 4 for 是多少万元, 6 for (in millions)."""
    found = _ASKED.findall(question)
    words = [next(filter(None, groups)) for groups in found]
    return SCALES.get(words[-1].rstrip("s")) if words else None


def _result(text: str) -> str:
    """The text after the last equals sign that has any: 23.5 in NPV=23.5>0."""
    parts = [part.strip() for part in _EQUALS.split(text)]
    result = next((part for part in reversed(parts) if part), "")
    concluded = _CONCLUDES.split(result)[-1]
    result = concluded if re.search("[0-9]", concluded) else result
    result = _COMPARED.sub(lambda found: _AS_WORDS[found[1]], result)
    result = _COMPARES.split(result)[0].strip()
    unopened = result.count(")") > result.count("(")
    return result.removesuffix(")") if unopened else result


def _mentioned(text: str) -> tuple[Quantity, ...]:
    found = _scan(_ASIDE.sub(" ; ", text)) or _scan(text)
    known = [quantity for quantity in found if quantity is not None]
    if known and len(known) == len(found) and all(_restates(each, known[0]) for each in known):
        return tuple(dict.fromkeys(known))
    return ()


def _restates(other: Quantity, first: Quantity) -> bool:
    """The same quantity, or the same amount rounded in another scale: 17.9% (0.17895)."""
    if other.exponent == first.exponent:
        return other == first
    same_kind = not (other.kind and first.kind) or other.kind == first.kind
    return same_kind and close(other.amount, first.amount, RELATIVE_TOLERANCE)


def _scan(text: str) -> list[Quantity | None]:
    """Each number of a text, None for one whose surroundings are not understood."""
    found = (_in_context(match, text) for match in _QUANTITY.finditer(text))
    return [each for each in found if each is not _DENIED]


def _in_context(match: re.Match[str], text: str) -> Quantity | None:
    context = context_of(text, *match.span(), has_unit=match["unit"] is not None)
    if context is None:
        return None
    if context.is_denied:
        return _DENIED
    negative = (match["sign"] in ("-", "负")) != (match["inner"] == "-")
    if negative and context.falls:
        return None
    quantity = _with_unit(literal(match["number"]), match)
    if (
        not quantity.has_unit
        and abs(quantity.written) < 1
        and _NAMES_RATIO.search(text, 0, match.start())
    ):
        quantity = replace(quantity, kind=RATIO)
    sign = -1 if negative or context.falls else 1
    return replace(
        quantity,
        written=quantity.written * sign,
        bound=context.bound,
        per=context.per,
        tags=context.tags,
    )


def _with_unit(written: float, match: re.Match[str]) -> Quantity:
    """A unit after the number overrides the sign before it: $5美元, ¥5万."""
    exponent = SCALES.get(match["scale"] or "", 0)
    prefix = match.groupdict().get("prefix")
    unit = match["unit"] or ""
    if unit == "元" and len(prefix or "") > 1:
        unit = ""  # 港币600万元
    kind, power = UNITS.get(unit, (PREFIXES.get(prefix or "", ""), 0))
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
