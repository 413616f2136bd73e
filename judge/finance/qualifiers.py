"""What the words around a number make of it: its sign, a bound, a unit that it is counted by.

Nothing unknown is ignored. A unit, a currency or a word that touches the number and that is not in
these lists makes the number unreadable, since it may be worth ten or a million times as much.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from galen.dangers.wordlist import any_of


def _words(chinese: str, english: str) -> str:
    """A pattern for any of the Chinese words, or of the English ones as whole words."""
    return f"{any_of(chinese)}|(?<![A-Za-z]){any_of(english)}(?![A-Za-z])"


_FALLS = _words(
    """
负增长 转亏 净?亏损?(?!为盈) 下[降跌滑挫] (?<!不)减少?(?!值准备) 降低 [降跌减]幅 缩减 缩水
优惠 让利 降价 逆差 亏掉 [跌降](?!价) 负(?!债) 赤字 净?流出 倒退 回落 萎缩 收窄
""",
    """
loss(?:es)? los[te] decreas\\w+ declin\\w+ fell fall\\w* drop\\w* down reduc\\w+ negative minus
deficit outflows? lower
""",
)
_RISES = _words(
    "增长 增加 上[升涨] 提[高升] 涨幅? 增幅 盈利 净?流入 盈余 顺差 抬升",
    "increas\\w+ rose gr[eo]w\\w* up gain\\w* profit positive inflow",
)
_DIRECTION = re.compile(f"(?P<falls>{_FALLS})|(?P<rises>{_RISES})", re.IGNORECASE)
_DENIES = re.compile(
    _words(
        "不是 并非 未(?!来) 并不 不等于 不为 而非 并没 没有 ≠ 非(?=\\s*\\d)", "not isn't never no"
    ),
    re.IGNORECASE,
)
_ABOVE = _words(
    "超过? 高于 大于 逾 不止 最低 下限 至少 不[低少小]于 最少 起码 突破",
    """
(?:more|greater|higher)\\sthan over above at\\sleast exceed\\w* no\\sless\\sthan minimum
""",
)
_BELOW = _words(
    "不[到足及满] 低于 小于 少于 最高 上限 封顶 至多 最多 不[超高多大]于 不超过 未超过? 将近 接近"
    " 近(?!似|年|期) 几乎",
    """
(?:less|fewer|lower)\\sthan under below at\\smost up\\sto nearly almost no\\smore\\sthan
not\\sexceed\\w* maximum
""",
)
_BOUND = re.compile(f"(?P<below>{_BELOW})|(?P<above>{_ABOVE})", re.IGNORECASE)
_UP_TO = re.compile(rf"(?:{_FALLS}|{_RISES}|[增升涨降跌减提调])了?[到至]|to\s*$")
"""下降到5%: what is reached, not by how much."""
_DENIED_AFTER = re.compile(r"[^，。]{0,4}?(?:不对|错|不正确|不成立|不是)|\s+is\s+(?:wrong|not)")
_BOUND_AFTER = re.compile(
    r"\s*(?:(?P<above>以上|及以上|起|开外|出头|有余|余|多|or\s(?:more|above)|\+)"
    r"|(?P<below>以[下内]|之?内|及以下|不到|不足|未满|封顶|or\s(?:less|below)))",
    re.IGNORECASE,
)
_PER = any_of(
    "股 份 手 吨 桶 千克 公斤 克 人 户 年 月 日 天 季度? 平方米 平米 张 千瓦时 度 盎司"
    " share year month day unit person ounce oz tonne? kg kWh"
)
_PER_BEFORE = re.compile(
    rf"[每平]个?(?P<per>{_PER})|(?<![A-Za-z])per\s(?P<one>{_PER})", re.IGNORECASE
)
_PER_WORD = re.compile(
    rf"(?:/|每|一|·|\*|per\s|a\s|an\s)\s*(?P<per>{_PER})(?![A-Za-z])", re.IGNORECASE
)
_PER_AFTER = re.compile(rf"(?:\s*{_PER_WORD.pattern.replace('?P<per>', '?:')})+", re.IGNORECASE)
_SAME_PER = {
    "share": "股",
    "year": "年",
    "month": "月",
    "unit": "份",
    "person": "人",
    "天": "日",
    "季度": "季",
    "day": "日",
    "平米": "平方米",
    "度": "千瓦时",
    "kwh": "千瓦时",
    "ounce": "盎司",
    "oz": "盎司",
    "公斤": "千克",
    "kg": "千克",
    "tonne": "吨",
    "ton": "吨",
}
_TAGS: Mapping[str, Mapping[str, str]] = {
    "tax": {"before": "税前", "after": "税后", "without": "不含税", "with": "(?<!不)含税"},
    "against": {
        "year": r"同比|year[ -](?:over|on)[ -]year|(?<![a-z])yoy(?![a-z])|较上年",
        "period": r"环比|(?:quarter|month)[ -](?:over|on)[ -](?:quarter|month)|(?<![a-z])[qm]o[qm]",
    },
    "every": {"年": "年利?[率息]|年化|annual|yearly", "季": "季度?利率|quarterly"}
    | {"月": "月利?[率息]|月度|monthly", "日": "日利?[率息]|daily"},
    "profit": {"gross": "毛", "net": "净(?=利|资)"},
    "ratio": {"debt": "负债率", "equity": "产权比", "current": "流动比", "quick": "速动比"},
    "prices": {"nominal": "名义", "real": "实际"},
    "multiple": {"earnings": "市盈率|P/E", "book": "市净率|P/B", "sales": "市销率|P/S"},
}
"""Words that set one figure apart from another: two of one group are two figures."""
_AFTER = re.compile(
    r"\s*(?:$|[,，。.;；:：、)）\]】}>|!！?？\"'”’(（\[【{*_`]|[-+*/^=≈~](?=\s*[\d(])"
    r"|[的了是为约吧呢啊哦呀整]|左右|上下|即|也就是|所以|因此|合计|总计|增长|增加|上升|上涨|提高|下[降跌]|减少|亏损|[降跌增涨]幅"
    r"|或|和|及|与|至|到|以[上下内]|之内|之间|及以[上下]|起|开外|有余|余|多|不到|同比|环比|年化|保留"
    r"|(?:in|is|as|of|for|from|to|by|at|or|and|per|a|an|rounded|approximately|about|total|overall|which"
    r"|because|so|since|with|when|after|before|over|during|increase|decrease|decline|loss|drop|growth|gain"
    r"|reduction|profit|lower|higher|more|less|annually|respectively)(?![A-Za-z]))"
)
"""What may stand after a number and its unit."""
_ODD_BEFORE = re.compile(
    r"[\$€£¥₩₹฿₽₺₫₱₦₿△▲#@§零〇一二两三四五六七八九十百千]\s*$|(?:[币铢镑盾]|卢布|法郎|克朗|比索|卢比)\s*$"
)
_NOUN_AFTER = re.compile(
    r"\s*(?:[\u4e00-\u9fff](?<![港美欧日英澳加台韩卢泰新瑞印越马菲巴墨每几多余未不半以起人民内前后级第东])"
    r"|[A-Za-z](?!.{0,12}(?:dollars|per|each|plus)))"
)
"""A noun, unless it is another currency or makes the number a bound."""
_FALLS_AFTER = re.compile(rf"\s*的?\s*(?:{_FALLS})", re.IGNORECASE)
_CLAUSE_START = re.compile(r"[，,、。;；(（\n](?!\d)")
_NUMBERS = re.compile(r"[0-9]")


@dataclass(frozen=True, slots=True)
class Context:
    is_denied: bool = False
    """Whether it is said not to be this number."""
    falls: bool = False
    """Whether a word makes the number negative."""
    rises: bool = False
    bound: str = ""
    """`above` or `below`, if it is only a bound."""
    per: str = ""
    """What it is counted by: 股 in 每股2元."""
    tags: tuple[tuple[str, str], ...] = ()
    """Group and member for words that set one figure apart from another: 税前, 同比."""


def context_of(text: str, start: int, end: int, *, has_unit: bool) -> Context | None:
    """The context of a number at [start, end); None if it cannot be read.

    `has_unit`: it ends with money or a ratio, after which a noun changes nothing.
    """
    begins = [found.end() for found in _CLAUSE_START.finditer(text, 0, start)]
    before, after = text[begins[-1] if begins else 0 : start], text[end:]
    if _ODD_BEFORE.search(before):
        return None
    per = _PER_AFTER.match(after)
    rest = after[per.end() :] if per else after
    if not _AFTER.match(rest) and not (has_unit and _NOUN_AFTER.match(rest)):
        return None
    if _is_cut_off(text[: begins[-1]] if begins else "", before):
        return None
    directions = [found.lastgroup for found in _DIRECTION.finditer(before)]
    falls_after = _FALLS_AFTER.match(rest) is not None
    if len(directions) + falls_after > 1:
        return None
    reached = _UP_TO.search(before) is not None
    tags = _tags(before + rest, is_change=bool(directions) and not reached)
    return Context(
        is_denied=bool(_DENIES.search(before) or _DENIED_AFTER.match(rest)),
        falls=not reached and (falls_after or directions == ["falls"]),
        rises=not reached and directions == ["rises"],
        bound=_bound(before, rest, turned=not reached and directions == ["falls"]),
        per=_per(before, per.group() if per else "") or dict(tags).get("every", ""),
        tags=tags,
    )


def _tags(clause: str, *, is_change: bool) -> tuple[tuple[str, str], ...]:
    found = [
        (group, member)
        for group, members in _TAGS.items()
        for member, words in members.items()
        if re.search(words, clause, re.IGNORECASE)
    ]
    return (*found, ("is", "change")) if is_change else tuple(found)


def _is_cut_off(earlier: str, before: str) -> bool:
    """Whether a fall is named in an earlier clause that has no number of its own: 亏损，共3亿元."""
    since = earlier[max((found.end() for found in _NUMBERS.finditer(earlier)), default=0) :]
    found = [one.lastgroup for one in _DIRECTION.finditer(since)]
    return "falls" in found and not _DIRECTION.search(before)


def _bound(before: str, after: str, *, turned: bool) -> str:
    """A fall of less than 5 % is above -5 %."""
    found = _BOUND_AFTER.match(after) or _BOUND.search(before)
    if found is None:
        return ""
    return (
        {"above": "below", "below": "above"}[found.lastgroup or ""]
        if turned
        else str(found.lastgroup)
    )


def _per(before: str, after: str) -> str:
    """Everything that it is counted by."""
    found = [*_PER_BEFORE.finditer(before), *_PER_WORD.finditer(after)]
    words = [str(next(filter(None, one.groupdict().values()))).lower() for one in found]
    return "/".join(sorted({_SAME_PER.get(word, word) for word in words}))
