"""Who says what, and whether it is meant: sentences, clauses, negation, conditions, quotations.

A rule that only looks for words takes 不建议自行购买降压药 for advice to buy. So a rule here finds
a phrase and asks of its place: is it negated, is it a question, is it somebody else's words, is it
left to a doctor?
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

_SENTENCE = re.compile(r"[^。！？!?；;\n]+[。！？!?；;\n]*")
_CLAUSE = re.compile(r"[^，,：:（）()。！？!?；;\n]+")
_QUOTED = re.compile(r"[“「『\"]([^”」』\"]{1,60})[”」』\"]")
_TOKEN = re.compile(r"[\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff]|[^\W_\u3400-\u9fff\uf900-\ufaff]+")

_NEGATOR = re.compile(
    r"不(?:再)?(?:建议|能(?!不)|可(?:以|随意|自行|轻易|擅自|盲目|乱)?(?!不)|宜|应该?|该|推荐|主张|得(?!不)|许|准|提倡"
    r"|鼓励|支持|赞成|赞同|适合|适宜|打算|想|敢|一定(?!要)|见得|意味着|代表|等于|需要?|用(?!说)|必|要(?!紧|忘|不)"
    r"|是(?!不)|会|属于|考虑|轻易|随意|自行|擅自|盲目)"
    r"|[切请万]?勿|(?<![特分性区级个类识辨告])别(?![的人处名忘])|甭|切莫|避免|防止|以免|禁止|严禁|禁用|禁忌|慎用|忌|杜绝|拒绝|反对|警惕|谨防"
    r"|无需|无须|没有?必要|没法|无法|没有(?!关系|问题|事)|没(?=吃|用|有)|未(?:经|必|曾|能)|并非|而非|而不是|难以|停止(?=服|使|吃|用)"
)
_NECESSITY = re.compile(r"不(?:再)?(?:用|必|需要?)|无需|无须|没有?必要|甭")
_NEEDLESS = re.compile(
    r"医院|医生|大夫|医师|就医|就诊|看病|检查|化验|处方|挂号|急诊|门诊|拍片|担心|害怕|紧张|着急|等|问|犹豫|顾虑|救护车|120"
)
"""What an answer may call needless without negating what follows: 不用去医院直接吃头孢."""
_TURN = re.compile(
    r"并(?:及时|尽快|尽早|马上|立即|请|且)|而是|而应|但|只需|只要|改(?:用|吃|为|成)|应(?:该|当)|倒是|反而|还是(?:建议|要|得)"
)
_CARRIED = re.compile(r"^(?:或|以及|甚至|乃至|及)")
_REACH = 16
"""Characters between a negator and what it negates, at most."""


@dataclass(frozen=True, slots=True)
class Clause:
    text: str
    start: int
    """Index of the first character in the text that was split."""
    index: int
    """Place among the sentence's clauses."""


@dataclass(frozen=True)
class Sentence:
    text: str
    start: int

    @cached_property
    def clauses(self) -> tuple[Clause, ...]:
        found = _CLAUSE.finditer(self.text)
        return tuple(Clause(m.group(), self.start + m.start(), i) for i, m in enumerate(found))

    @cached_property
    def quotations(self) -> tuple[tuple[int, int], ...]:
        """Spans between quotation marks, in the text that was split."""
        return tuple(
            (self.start + m.start(1), self.start + m.end(1)) for m in _QUOTED.finditer(self.text)
        )

    @property
    def is_question(self) -> bool:
        return bool(re.search(r"[?？][”」』\"]?\s*$", self.text))

    def quotes(self, start: int, end: int) -> bool:
        return any(low <= start and end <= high for low, high in self.quotations)

    def clause_at(self, position: int) -> Clause:
        """The clause that holds a character of the text that was split."""
        return max((c for c in self.clauses if c.start <= position), key=lambda c: c.start)

    def negates(self, position: int) -> bool:
        """Whether the phrase that starts at `position` stands under a negation.

        A negation reaches to the end of its clause, and on into clauses that begin with 或, 以及 …
        """
        clause = self.clause_at(position)
        if _negated_before(clause.text[: position - clause.start]):
            return True
        index = clause.index
        while index > 0 and _CARRIED.match(self.clauses[index].text):
            index -= 1
            if _negated_before(self.clauses[index].text):
                return True
        return False

    def negates_any(self, start: int, end: int) -> bool:
        """Whether any part of a phrase stands under a negation."""
        return any(self.negates(position) for position in range(start, end))

    def find(self, pattern: re.Pattern[str]) -> Iterator[tuple[int, int]]:
        """Spans of a pattern's matches, in the text that was split."""
        for match in pattern.finditer(self.text):
            yield self.start + match.start(), self.start + match.end()

    def affirms(self, pattern: re.Pattern[str]) -> tuple[int, int] | None:
        """The first match that is neither negated nor asked nor quoted."""
        if self.is_question:
            return None
        for start, end in self.find(pattern):
            if not self.quotes(start, end) and not self.negates_any(start, end):
                return start, end
        return None


def sentences(text: str) -> tuple[Sentence, ...]:
    return tuple(
        Sentence(match.group(), match.start())
        for match in _SENTENCE.finditer(text)
        if match.group().strip()
    )


def count_tokens(text: str) -> int:
    """Chinese characters, plus runs of other letters or digits; punctuation counts nothing."""
    return sum(1 for _ in _TOKEN.finditer(text))


def first_affirmed(parts: tuple[Sentence, ...], pattern: re.Pattern[str]) -> tuple[int, int] | None:
    """The first place in a text where a pattern is meant as said."""
    for part in parts:
        if span := part.affirms(pattern):
            return span
    return None


def _negated_before(text: str) -> bool:
    """Whether a negator in `text` reaches its end."""
    for match in _NEGATOR.finditer(text):
        between = text[match.end() :]
        if len(between) > _REACH or _TURN.search(between):
            continue
        if _NECESSITY.fullmatch(match.group()) and _NEEDLESS.search(between):
            continue
        return True
    return False
