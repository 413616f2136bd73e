"""Where a text names a person or gives a number of theirs, in Chinese and English.

Rules only: what has a check digit is checked, what has none needs the words that go with it. A date
is personal as a date of birth alone, a surname as part of a name or before a title.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Literal

from trainer.data.deidentify import names

Kind = Literal[
    "id_card",
    "bank_card",
    "hospital",
    "insurance",
    "phone",
    "email",
    "birth_date",
    "address",
    "name",
]


@dataclass(frozen=True, slots=True)
class Span:
    kind: Kind
    start: int
    end: int


_BEFORE, _AFTER = r"(?<![0-9A-Za-z])", r"(?![0-9A-Za-z])"
_IS = r"(?:\s*(?:是|为|:|：|=|#|no\.?|number|was|is)\s*|\s+|\s*[（(]\s*)*"
_CODE = r"(?=[A-Za-z-]*\d)([A-Za-z0-9][A-Za-z0-9-]{3,19})"
_DAY = (
    r"(?:(?:19|20)\d\d\s*[-/.年]\s*\d{1,2}\s*(?:[-/.月]\s*\d{1,2}\s*日?|月)"
    r"|\d{1,2}[-/]\d{1,2}[-/](?:19|20)\d\d"
    r"|(?:\d{1,2}(?:st|nd|rd|th)?\s+)?(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*\.?\s+"
    r"(?:\d{1,2}(?:st|nd|rd|th)?,?\s+)?(?:19|20)\d\d)"
)
_HAN = r"[\u4e00-\u9fff]"
_PLACE = r"(?:(?![住在于是到从往的我你他她址寄])[\u4e00-\u9fff])"
_NUMBER = r"(?:\d+|[一二三四五六七八九十百]+)"


def _rule(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern, re.IGNORECASE)


def id_card_is_valid(number: str) -> bool:
    """The check digit of a mainland ID card (GB 11643: ISO 7064 mod 11-2)."""
    weights = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)
    total = sum(int(digit) * weight for digit, weight in zip(number[:17], weights, strict=True))
    return "10X98765432"[total % 11] == number[17].upper()


def luhn_is_valid(number: str) -> bool:
    """The check digit of a bank card (ISO/IEC 7812)."""
    digits = [int(digit) for digit in reversed(number)]
    doubled = (sum(divmod(2 * digit, 10)) for digit in digits[1::2])
    return (sum(digits[::2]) + sum(doubled)) % 10 == 0


def _is_bank_card(text: str) -> bool:
    digits = re.sub(r"\D", "", text)
    return luhn_is_valid(digits) and len(set(digits)) > 2


Test = Callable[[str], bool]
_RULES: tuple[tuple[Kind, re.Pattern[str], Test | None], ...] = (
    ("email", _rule(r"(?<![A-Za-z0-9_.+-])[a-z0-9][a-z0-9_.+-]*@[a-z0-9][a-z0-9-]*(?:\.[a-z0-9-]+)*\.[a-z]{2,}"), None),
    ("id_card", _rule(rf"{_BEFORE}([1-9]\d{{16}}[\dX]){_AFTER}"), id_card_is_valid),
    ("id_card", _rule(rf"(?:(?:身份证|证件)(?:号码?|号)?|\bID(?:\s+card)?){_IS}([1-9]\d{{13}}(?:\d{{3}}[\dX]|\d)){_AFTER}"), None),
    ("insurance", _rule(
        rf"(?:(?:医保|社保|社会保障|保险|新农合|医疗保险)(?:卡|证|单)?(?:号码|编号|号)|保单编?号|参保号"
        rf"|(?:insurance|policy|member(?:ship)?|nhs|medicare)\s*(?:id|no\.?|number|card|policy)+)"
        rf"{_IS}{_CODE}{_AFTER}"), None),
    ("hospital", _rule(
        rf"(?:(?:病历|病案|住院|门诊|就诊|登记|挂号|检查|标本|病理|影像|床位|条码|患者|CT|MRI?|B超|超声|心电图)(?:卡|单|证)?"
        rf"(?:号码|编号|号|ID)|\bMRN|medical\s+record|chart|hospital|patient\s+id|admission|specimen)"
        rf"(?:\s*(?:no\.?|number|id))?{_IS}{_CODE}{_AFTER}"), None),
    ("bank_card", _rule(
        rf"(?:银行卡|信用卡|储蓄卡|卡号|账号|帐号|account|card)(?:号码|号|\s*(?:no\.?|number))?{_IS}"
        rf"(\d{{4}}(?:[ -]?\d{{4}}){{2,3}}(?:[ -]?\d{{1,3}})?){_AFTER}"), None),
    ("bank_card", _rule(rf"{_BEFORE}([3-6]\d{{3}}(?:[ -]?\d{{4}}){{3}}(?:[ -]?\d{{1,3}})?){_AFTER}"),
     _is_bank_card),
    ("phone", _rule(r"(?<![\d.])(?:(?:\+|00)?86[ -]?)?1[3-9]\d(?:[ -]?\d{4}){2}(?![\d.]?\d)"), None),
    ("phone", _rule(r"(?<![\d.-])(?:\(0\d{2,3}\)|0\d{2,3}[- ])\s?[2-9]\d{6,7}(?:[-转]\d{1,4})?(?!\d)"), None),
    ("phone", _rule(r"(?<![\d.-])[48]00[- ]\d{3}[- ]?\d{4}(?!\d)"), None),
    ("phone", _rule(r"(?<![\d.-])(?:\+1[ -.]?)?(?:\(\d{3}\)\s?|\d{3}[-. ])\d{3}[-. ]\d{4}(?!\d)"), None),
    ("phone", _rule(r"(?<![\d.])\+\d{1,3}(?:[ -]?\d{2,5}){2,4}(?!\d)"), None),
    ("phone", _rule(
        rf"(?:电话|手机|座机|联系方式|phone|tel|mobile|call me (?:at|on)){_IS}"
        r"(\d{7,8}|\d{3}[- ]\d{4})(?!\d)"), None),
    ("birth_date", _rule(
        rf"(?:出生(?:日期|年月日?|时间)?|生日|生于|\bdob\b|d\.o\.b\.?|date\s+of\s+birth|born|birthday)"
        rf"(?:{_IS}|\s*(?:on|in|于)\s*)*({_DAY})"), None),
    ("birth_date", _rule(rf"({_DAY})\s*(?:出生|生人|生(?![命活病气长效物理殖育日]))"), None),
    ("address", _rule(
        rf"(?:(?![家和位]){_PLACE}{{2,7}}?(?:省|自治区|行政区))?(?:(?![家和位]){_PLACE}{{2,7}}?(?:市|自治州|地区|盟))?"
        rf"(?:{_PLACE}{{1,6}}?(?:区|县|旗|市))?(?:{_PLACE}{{1,7}}?(?:街道|镇|乡))?"
        rf"{_PLACE}{{1,8}}?(?:大道|路|街|巷|胡同|弄|里弄|村|社区|小区|花园|公寓|家园)"
        rf"(?:{_PLACE}{{1,8}}?(?:小区|花园|公寓|家园|大厦|苑|楼))?"
        rf"\s*(?:{_NUMBER}\s*段)?\s*(?:{_NUMBER}\s*(?:号楼|号院|号|弄|巷|栋|幢|座|组|排|单元|室|楼|层|期|户)\s*)+"
            rf"(?:{_PLACE}{{2,10}}?(?:大厦|广场|中心|大楼|小区|花园|公寓|苑))?"
            rf"(?:\s*(?:[A-Z]|{_NUMBER})\s*(?:座|栋|幢|塔|单元|楼|层|室|户|号))*\d*室?"
    ), None),
    ("address", _rule(
        rf"(?:地址|住址|家住|住在|户籍|籍贯)(?:是|为|:|：|\s)*"
        rf"({_PLACE}{{2,7}}?(?:省|自治区|市)(?:{_PLACE}{{1,7}}?(?:市|区|县|州|旗))+"
        rf"(?:{_PLACE}{{1,7}}?(?:镇|乡|街道|村))*)"), None),
    ("address", _rule(
        rf"{_PLACE}{{2,7}}?(?:省|自治区){_PLACE}{{2,7}}?(?:市|自治州|地区|盟){_PLACE}{{1,6}}?(?:区|县|旗|市)"
        rf"(?:{_PLACE}{{1,7}}?(?:镇|乡|街道|村))*"), None),
    ("address", re.compile(
        r"\b\d{1,5}\s+(?:[NSEW]\.?\s+)?(?:[A-Z][a-z]+\s+){1,3}(?:Street|St|Avenue|Ave|Road|Rd|Lane|Ln|"
        r"Drive|Dr|Boulevard|Blvd|Court|Ct|Way|Place|Terrace|Close)\b\.?"
        r"(?:,?\s+(?:Apt|Apartment|Unit|Flat|Suite)\.?\s*#?\w+)?(?:,\s*[A-Z][a-z]+(?:\s[A-Z][a-z]+)?)?"
        r"(?:,\s*[A-Z]{2})?(?:\s+\d{5}(?:-\d{4})?)?"), None),
)  # fmt: skip
"""In the order in which they claim text: the first rule to find a place keeps it."""
_HINT = re.compile(r"\d{3}|\w-\d|\d \w|@|号|number|[省市区县镇村路街]|生|born|dob", re.IGNORECASE)


def find(text: str, known: Collection[str] = ()) -> list[Span]:
    """Every span, in the order of the text; no two overlap. `known` names are found anywhere."""
    found: list[Span] = []
    if _HINT.search(text):
        for kind, pattern, test in _RULES:
            for match in pattern.finditer(text):
                group = 1 if pattern.groups else 0
                if test is None or test(match[group]):
                    _claim(found, Span(kind, *match.span(group)))
    for start, end in names.find(text):
        _claim(found, Span("name", start, end))
    for name in sorted(known, key=len, reverse=True):
        for match in re.finditer(re.escape(name), text):
            _claim(found, Span("name", *match.span()))
    return sorted(found, key=lambda span: span.start)


def _claim(found: list[Span], span: Span) -> None:
    if all(span.end <= other.start or other.end <= span.start for other in found):
        found.append(span)
