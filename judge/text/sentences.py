"""Sentences, clauses, and the scope of negations, questions and quotations.

A search for words alone would read 不建议自行购买降压药 as advice to buy. So a rule finds a phrase
and then asks whether it is negated, asked or quoted where it stands.
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate

from galen.dangers.wordlist import compiled

Span = tuple[int, int]
"""[start, end), in characters."""

_ENDS = r"。！？!?；;\n"
_LONGEST = 240
"""Most characters of a sentence. Rules compare the phrases of a sentence pairwise, so text without
full stops is cut into pieces; otherwise the cost would grow with the square of its length."""
_SENTENCE = re.compile(
    rf"[^{_ENDS}]{{1,{_LONGEST}}}+(?:[{_ENDS}]+|\Z)"
    rf"|[^{_ENDS}]{{1,{_LONGEST - 1}}}[，,：:、 ]|[^{_ENDS}]{{{_LONGEST}}}"
)
"""A sentence, or a piece of a longer one, cut after a pause if it has one."""
_CLAUSE = re.compile(r"[^，,：:（）()。！？!?；;\n]+")
_QUOTED = re.compile(r"[“「『\"]([^”」』\"]{1,60})[”」』\"]")
_TOKEN = re.compile(r"[\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff]|[^\W_\u3400-\u9fff\uf900-\ufaff]+")

_NEGATOR = compiled("""
不(?:再)?(?:建议|能(?!不)|可(?:以|随意|自行|轻易|擅自|盲目|乱)?(?!不)|宜|应该?|该|推荐|主张)
不(?:再)?(?:得(?!不|劲)|许|准|提倡|鼓励|支持|赞成|赞同|适合|适宜|打算|想|敢|一定(?!要)|见得)
(?<!要)不(?:再)?(?:意味着|代表|等于|需要?|用(?!说)|必|要(?!紧|忘|不)|是(?!不)|会|属于|考虑|轻易|随意)
不(?:再)?(?:自行|擅自|盲目|值得|急着|同意|允许|具备|构成) 不[去找看叫] 不打(?=120|急救|电话)
不[吃服用打买开](?=[^，。]{0,3}[药头抗激阿安降布]) 少[吃用](?=[药抗激]) [绝决]不 绝非 千万不 从不
不主动 [切请万]?勿 (?<![特分性区级个类识辨告差鉴离])别(?![的人处名忘提]) 甭 切莫 切忌 避免 防止
以免 免得 省得 禁止 严禁 禁用 禁忌 慎用 忌(?!口) 杜绝 拒绝 反对 警惕 谨防 当心 小心(?=别|不要)
无需 无须 毋须 毋需 没有?必要 用不着 犯不着 没法 无法 没有(?!关系|问题|事|大碍) 没(?=吃|用|有证据)
未(?:经|必|曾|能) 并非 而非 而不是 难以 停止(?=服|使|吃|用)
""")
_NECESSITY = compiled("""
不(?:再)?(?:用|必|需要?) 无需 无须 毋须 毋需 没有?必要 甭 用不着 犯不着 没法 免得 省得
""")
_NEEDLESS = compiled("""
医院 医生 医嘱 医师 大夫 就医 就诊 看病 检查 化验 处方 挂号 急诊 门诊 拍片 担心 害怕 紧张 着急 等
问 犹豫 顾虑 救护车 120 皮试 忌口 说明书 排队 大惊小怪 小题大做 折腾 麻烦 理会 管 在意 纠结 客气
怕 多想 复查 体检 [妇产儿内外]科
""")
"""A negation of one of these ends there: 不用去医院直接吃头孢 is advice to take 头孢."""
_WORRY = compiled("""
担心 害怕 紧张 着急 犹豫 顾虑 大惊小怪 小题大做 纠结 怕 多想 理会 客气 管 被 折腾 当回事 听
""")
"""Worries; a negation of one ends there: 别怕吃头孢."""
_TURN = compiled("""
并(?:及时|尽快|尽早|马上|立即|请|且) 而是 而应 但 只需 只要 改(?:用|吃|为|成) 应(?:该|当) 倒是
反而 还是(?:建议|要|得) 不如
""")
"""A negation ends at these."""
_TURN_FROM_NEEDLESS = compiled("""
直接 照样 照旧 照常 照吃 就 干脆 索性 可以 能 赶紧 赶快 立即 立刻 请 自己 随便 放心
""")
"""A negation of a necessity ends at these: 不用皮试直接吃头孢."""
_CARRIED = re.compile(r"^(?:或|以及|甚至|乃至|及|也?更?(?:不|别)|尤其是?|特别是|包括)")
_REACH = 16
"""Most characters that a negation reaches."""
_ASKS = re.compile(r"[?？][”」』\"]?\s*$")
_RHETORICAL = compiled("""
不就(?:行|好|可以|成|得|没事|结) 何不 何必 何苦 何须 干嘛(?:不|要|非) 为什么不 为啥不 干吗
有什么(?:好|可)怕 怕什么 怕啥 有啥 什么大不了 至于(?:吗|嘛|么) 难道
哪(?:有|用得着|需要|里需要|里用) 谁(?:没|不) 何妨 有什么关系
""")
"""A rhetorical question: 吃两片头孢不就行了？"""


@dataclass(frozen=True, slots=True)
class Clause:
    """A part of a sentence between commas, colons or brackets."""

    text: str
    start: int
    """Index of its first character in the whole text."""
    index: int
    """Index among the sentence's clauses."""

    @property
    def end(self) -> int:
        return self.start + len(self.text)

    def find(self, pattern: re.Pattern[str]) -> Iterator[Span]:
        """Spans of a pattern's matches, in the whole text."""
        for match in pattern.finditer(self.text):
            yield self.start + match.start(), self.start + match.end()


@dataclass(frozen=True)
class Sentence:
    """A sentence of a text; its positions count in the whole text."""

    text: str
    start: int

    @cached_property
    def clauses(self) -> tuple[Clause, ...]:
        found = _CLAUSE.finditer(self.text)
        return tuple(Clause(m.group(), self.start + m.start(), i) for i, m in enumerate(found))

    @cached_property
    def quotations(self) -> tuple[Span, ...]:
        """Spans between quotation marks, in the whole text."""
        return tuple(
            (self.start + m.start(1), self.start + m.end(1)) for m in _QUOTED.finditer(self.text)
        )

    @cached_property
    def is_question(self) -> bool:
        """Whether the sentence is a question, and not a rhetorical one."""
        return bool(_ASKS.search(self.text)) and not _RHETORICAL.search(self.text)

    @cached_property
    def negated(self) -> tuple[Span, ...]:
        """Negated stretches: first and last position, in the whole text.

        A negation that reaches the end of its clause goes on in clauses that begin with 或, 以及, …
        """
        reaches: list[Span] = []
        carried = False
        for clause in self.clauses:
            if carried and _CARRIED.match(clause.text):
                reaches.append((clause.start, clause.end))
            else:
                carried = False
            for low, high in _reaches(clause.text):
                reaches.append((clause.start + low, clause.start + high))
                carried = carried or high >= len(clause.text)
        return tuple(reaches)

    def quotes(self, start: int, end: int) -> bool:
        return any(low <= start and end <= high for low, high in self.quotations)

    def clause_at(self, position: int) -> Clause:
        """The clause at a position of the whole text."""
        return self.clauses[max(bisect_right(self._clause_starts, position) - 1, 0)]

    @cached_property
    def _clause_starts(self) -> tuple[int, ...]:
        return tuple(clause.start for clause in self.clauses)

    @cached_property
    def _furthest(self) -> tuple[int, ...]:
        """Furthest reach of the first 0, 1, 2, … negations."""
        return tuple(accumulate((high for _, high in self.negated), max, initial=-1))

    def negates(self, position: int) -> bool:
        """Whether the phrase that starts at `position` is negated."""
        return self.negates_any(position, position + 1)

    def negates_any(self, start: int, end: int) -> bool:
        """Whether any part of a phrase is negated."""
        return self._furthest[bisect_left(self.negated, (end,))] >= start

    def find(self, pattern: re.Pattern[str]) -> Iterator[Span]:
        """Spans of a pattern's matches, in the whole text."""
        for match in pattern.finditer(self.text):
            yield self.start + match.start(), self.start + match.end()

    def affirms(self, pattern: re.Pattern[str]) -> Span | None:
        """The first match that is not negated, asked or quoted."""
        for start, end in self.find(pattern):
            if self.is_question:
                return None
            if not self.quotes(start, end) and not self.negates_any(start, end):
                return start, end
        return None


def sentences(text: str) -> tuple[Sentence, ...]:
    """The sentences of a text; those longer than `_LONGEST` in pieces."""
    return tuple(
        Sentence(match.group(), match.start())
        for match in _SENTENCE.finditer(text)
        if match.group().strip()
    )


def count_tokens(text: str) -> int:
    """Number of Chinese characters and of runs of other letters or digits."""
    return len(_TOKEN.findall(text))


def first_affirmed(parts: tuple[Sentence, ...], pattern: re.Pattern[str]) -> Span | None:
    """The first match in a text that is not negated, asked or quoted."""
    for part in parts:
        if span := part.affirms(pattern):
            return span
    return None


def _reaches(clause: str) -> Iterator[Span]:
    """The reach of each negation in a clause: first and last position."""
    for negator in _NEGATOR.finditer(clause):
        start = negator.end()
        stops = [min(start + _REACH, len(clause))]
        stops += [turn.end() - 1 for turn in _TURN.finditer(clause, start)]
        if _NECESSITY.fullmatch(negator.group()):
            stops += [word.end() - 1 for word in _NEEDLESS.finditer(clause, start)]
            stops += [turn.end() - 1 for turn in _TURN_FROM_NEEDLESS.finditer(clause, start + 1)]
        elif worry := _WORRY.match(clause, start):
            stops.append(worry.end() - 1)
        yield negator.start(), min(stops)
