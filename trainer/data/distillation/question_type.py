"""What a finance question asks for: a calculation, a concept, an analysis or a piece of reasoning.

The rules read the sentence that asks, not the report in front of it. They are tried in order; the
first that hits decides, and its words are the reason.
"""

from __future__ import annotations

import re
from typing import Literal, NamedTuple, get_args

QuestionType = Literal["calculation", "concept", "analysis", "reasoning"]
TYPES: tuple[QuestionType, ...] = get_args(QuestionType)


class Typed(NamedTuple):
    type: str
    """One of `TYPES`, or what a row says of itself."""
    reason: str


_OPTION = re.compile(r"(?:^|[\s。；;，,)）:：?？])[(（]?([A-F])[.、．:：)）]\s*")
_END = re.compile(r"(?<=[。！!？?；;\n])|(?<=[a-z\d%][.]) +(?=[A-Z])")
"""Where a sentence ends."""
_LEAD = re.compile(r"(?:问题|题目|提问|question|Question)\s*\d*\s*[:：]")
_DIGIT = re.compile(r"\d|[一二三四五六七八九十百]+(?:万|亿|元|%|个百分点|成|倍|年期)")
_QUANTITY = re.compile(r"-?[\d.,，]+\s*(?:%|‰|元|万|亿|倍|年|个|million|billion)?[\w%]*")


def _rule(chinese: str, english: str, anywhere: str = "(?!)") -> re.Pattern[str]:
    """English words stand alone; `anywhere` is a further pattern for the asking sentence."""
    return re.compile(rf"(?:{chinese})|(?<![a-z])(?:{english})(?![a-z])|{anywhere}", re.IGNORECASE)


_DEFINITION = _rule(
    r"^\W*(?:请|试)?(?:简述|解释|简要说明|说明|介绍)?(?:一下)?(?:什么是|什么叫|何为|何谓|名词解释)"
    r"|(?:是什么意思|指的?是什么|是指什么|的(?:定义|含义|概念))",
    r"define|what is meant by|what does .{1,60} (?:mean|stand for|refer to)"
    r"|(?:explain|describe) (?:the (?:term|concept|meaning)|what (?:is|are|an?))",
)
_CALCULATE = _rule(r"计算|试?求(?=[^职购助索偿证]).{1,40}|测算|算出", r"calculate|compute|work out")
_HOW_MUCH = _rule(
    r"多少|几(?:倍|年|个|成|元|股|次|天|期|份|亿|万)|(?:等于|约为|[是为])几|百分之几"
    r"|[为是达](?:[（(]\s*[）)]|_{2,})|的?(?:比重|比例|百分比|占比)[为是]?[？?]?$",
    r"how (?:much|many|long|large|big)|in (?:percent|millions|dollars)"
    r"|what (?:is|are|was|were|would|will|should|did|does|percent\w*|portion|proportion|fraction)"
    r"(?![a-z]).{0,80}?(?<![a-z])(?:ratio|percent\w*|change|average|total|sum|value|amount|rate"
    r"|growth|yield|price|costs?|npv|irr|return|payments?|profit|loss|margin|interest|difference"
    r"|increase|decrease|number|eps|balance|proportion|portion|worth|expenses?|revenues?|income"
    r"|tax|taxes|beta|delta|duration|deviation|dividends?|premium|weight|assets|liabilities|sales)",
)
_PRECISION = _rule(
    r"保留.{1,4}位小数|四舍五入|精确到", r"to the nearest|to \w+ decimal\w*|decimal places?"
)
_ANALYSE = _rule(
    r"分析|评价|评估|评述|论述|影响|为什么|为何|原因|利弊|优缺点|优劣|如何看待|怎么看|谈谈|启示"
    r"|意味着什么|后果|(?:主要)?风险(?:有哪些|在哪|是什么)|比较.{1,40}(?:策略|方案|模式)"
    r"|(?:如何|怎样|怎么)(?:应对|改善|优化|传导|作用)",
    r"analy[sz]\w*|discuss|evaluate|assess|comment on|why|impact|affects?|influences?"
    r"|implications?|consequences?|effects? of|advantages|drawbacks|pros and cons|strengths"
    r"|weaknesses|what (?:drives|drove|explains|caused)"
    r"|how (?:does|do|did|would|could|can|might|will|should) (?!you (?:define|calculate)).*",
)
_REASON = _rule(
    r"判断|推断|推理|推出|是否|能否|可否|会不会|能不能|可不可以|应不应该|对不对|正确(?:的是|吗)"
    r"|错误的是|吗[？?\s]*$|下列|以下(?:哪|说法|选项|关于)|合规|违反|属于哪|谁(?:应|说|的)|还是"
    r"|哪(?:个|种|一|只|家|项|些).{0,20}(?:更|最|应)|应(?:当|该)?(?:选择|如何处理|由谁)",
    r"whether|which (?:of|one|bond|stock|fund|option|project|investment|company|party)|infer"
    r"|conclude|true or false|compliant|violat\w*|should|is it (?:possible|true|legal|correct)"
    r"|who (?:is|must|should|bears)",
    r"^\W*(?:(?:if|given that) .{5,200}, )?"
    r"(?:is|are|does|do|did|can|could|must|may|will|would|was|were|has|have) ",
)
_CONCEPT = _rule(
    r"什么|有哪些|包括哪|哪(?:些|几)|区别|不同(?:之处|点)|异同|特点|特征|种类|分类|作用|功能"
    r"|原理|公式|简述|简介|介绍|解释|如何(?:定义|理解|计算)",
    r"what|explain|describe|define|difference between|types? of|list|name|which|who|when|where",
)
_ORDER = _rule(
    r"(?:^|[，,])\s*(?:请|试|简述|计算|分析|求|判断|解释|说明|论述|谈谈|评价|比较)",
    r"(?!)",
    r"^\W*(?:calculate|compute|explain|describe|discuss|analy[sz]e|evaluate|assess|define|find"
    r"|determine|compare|list|state|decide|judge)(?![a-z])",
)
_WORDS: tuple[tuple[QuestionType, re.Pattern[str], str], ...] = (
    ("analysis", _ANALYSE, "asks for causes, effects or a verdict"),
    ("reasoning", _REASON, "asks for a decision or a conclusion"),
    ("concept", _CONCEPT, "asks what something is"),
    ("calculation", _CALCULATE, "asks to calculate"),
    ("calculation", _HOW_MUCH, "asks for a quantity"),
)
"""The rules about words, in the order in which they are tried."""


def of(question: str) -> Typed:
    """The question's type, and the rule's reason for it."""
    asked, has_options = _asking(question)
    if definition := _DEFINITION.search(asked):
        return Typed("concept", f"asks for a definition: {_shown(definition)}")
    has_number = bool(_DIGIT.search(question))
    if has_number and (precision := _PRECISION.search(question)):
        return Typed("calculation", f"names the precision of the result: {_shown(precision)}")
    if has_options and _are_quantities(question) and has_number:
        return Typed("calculation", "the options are quantities")
    if has_number and (verb := _CALCULATE.search(asked) or _HOW_MUCH.search(asked)):
        return Typed("calculation", f"asks for a quantity and gives numbers: {_shown(verb)}")
    if has_options:
        return Typed("reasoning", "offers options to choose from")
    return _by_words(asked)


def _by_words(asked: str) -> Typed:
    for kind, words, reason in _WORDS:
        if found := words.search(asked):
            return Typed(kind, f"{reason}: {_shown(found)}")
    return Typed("concept", "no rule hit")


def _asking(question: str) -> tuple[str, bool]:
    """The part that asks: without options, the last sentence with a question mark or an order.

    Returns whether there were options, too.
    """
    options = _options(question)
    has_options = len(options) > 1
    text = question[: options[0].start()] if has_options else question
    leads = list(_LEAD.finditer(text))
    if leads and text[leads[-1].end() :].strip():
        text = text[leads[-1].end() :]
    sentences = [each for each in _END.split(text) if each.strip(" \t。；;\n")]
    asking = [each for each in sentences if re.search(r"[？?]", each)]
    orders = [each for each in sentences if _ORDER.search(each)]
    chosen = (asking[-1:] or orders[-1:] or sentences[-1:] or [text])[0]
    return chosen.strip(), has_options


def _options(question: str) -> list[re.Match[str]]:
    """The marks A, B, C … at the end of the question, in order."""
    marks = list(_OPTION.finditer(question))
    first = next((n for n in range(len(marks) - 1, -1, -1) if marks[n][1] == "A"), len(marks))
    return [mark for n, mark in enumerate(marks[first:]) if mark[1] == "ABCDEF"[n : n + 1]]


def _are_quantities(question: str) -> bool:
    """Whether most options are numbers with a unit."""
    marks = _options(question)
    ends = [*(mark.start() for mark in marks[1:]), len(question)]
    options = [
        question[mark.end() : end].strip(" \t\n。.;；,，")
        for mark, end in zip(marks, ends, strict=True)
    ]
    quantities = [each for each in options if _QUANTITY.fullmatch(each)]
    return len(quantities) * 2 > len(options)


def _shown(found: re.Match[str]) -> str:
    return repr(found.group().strip()[:20])
