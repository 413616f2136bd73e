"""One answer under judgement, with everything that the rules compute about it cached."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import NamedTuple

from galen.transcript import THINK_CLOSE, THINK_OPEN, Transcript, parse
from judge.text.sentences import Sentence, sentences
from judge.text.sentences import Span as Span
from judge.text.written_form import Plain, read_plain

_END_TOKENS = (
    *("<|im_end|>", "<|endoftext|>", "<|end_of_text|>", "<|eot_id|>", "<|eom_id|>", "<|end|>"),
    *("<|return|>", "<|endofresponse|>", "<｜end▁of▁sentence｜>", "</s>", "<end_of_turn>", "<eos>"),
)
"""What templates write after an answer. A server may leave one; it is no part of the answer."""
_FURTHER_THOUGHT = re.compile(
    f"{THINK_OPEN}(?:(?!{THINK_CLOSE}).)*+(?:{THINK_CLOSE})?|{THINK_CLOSE}", re.DOTALL
)


class Hit(NamedTuple):
    span: Span | None
    """Span in the response; None if the finding is that something is missing."""
    is_certain: bool = True
    """Whether the rule may decide without a reader."""


_SPEAKERS = {"system": "系统", "user": "用户", "assistant": "助手"}
_CONVERSATION = "以下是多轮对话，待评的是对最后一句的回答。"


@dataclass(frozen=True)
class Case:
    prompt: str
    """The question; of a conversation its last turn."""
    response: str
    reference: str = ""
    earlier: tuple[tuple[str, str], ...] = ()
    """The turns before the question, each as (role, text)."""
    found: dict[tuple[str, int | None], Hit | None] = field(
        default_factory=dict, compare=False, repr=False
    )
    """Results of `judge.rules.registry.find` so far, by rule and threshold."""

    @cached_property
    def told(self) -> str:
        """All that the user has said: what was told two turns ago still holds."""
        return "\n".join([*(text for role, text in self.earlier if role == "user"), self.prompt])

    @cached_property
    def shown(self) -> str:
        """The question as a teacher reads it: every turn, without earlier thoughts."""
        if not self.earlier:
            return self.prompt
        turns = [
            (role, parse(text).answer or text if role == "assistant" else text)
            for role, text in (*self.earlier, ("user", self.prompt))
        ]
        return "\n".join([_CONVERSATION, *(f"{_SPEAKERS[role]}：{text}" for role, text in turns)])

    @cached_property
    def text(self) -> str:
        """The response without the end tokens of a template."""
        return without_end_tokens(self.response)

    @cached_property
    def transcript(self) -> Transcript:
        """Reasoning and answer. Further thoughts and stray tags are no part of the answer: spaces
        stand in their place, so that every span still fits the response."""
        read = parse(self.text)
        blank = _FURTHER_THOUGHT.sub(lambda found: " " * len(found.group()), read.answer)
        answer = blank.strip()
        start = read.answer_start + len(blank) - len(blank.lstrip())
        return replace(read, answer=answer, answer_start=start) if answer != read.answer else read

    @property
    def is_in_form(self) -> bool:
        """Whether there is one thought, closed once."""
        opened, closed = self.text.count(THINK_OPEN), self.text.count(THINK_CLOSE)
        return opened <= 1 and closed == 1 and self.transcript.closed

    @property
    def answer(self) -> str:
        return self.transcript.answer

    @cached_property
    def plain_answer(self) -> Plain:
        """The answer in the form that the rules read."""
        return read_plain(self.answer)

    @cached_property
    def plain_told(self) -> str:
        return read_plain(self.told).text

    @cached_property
    def answer_sentences(self) -> tuple[Sentence, ...]:
        """Sentences of the plain answer."""
        return sentences(self.plain_answer.text)

    @cached_property
    def reasoning_sentences(self) -> tuple[Sentence, ...]:
        return sentences(self.transcript.reasoning)

    def in_answer(self, span: Span) -> Span:
        """A span of the answer as a span of the whole response."""
        start = self.transcript.answer_start
        return start + span[0], start + span[1]

    def in_plain(self, span: Span) -> Span:
        """A span of the plain answer as a span of the whole response."""
        return self.in_answer(self.plain_answer.written(*span))

    def in_reasoning(self, span: Span) -> Span:
        """A span of the reasoning as a span of the whole response."""
        start = self.transcript.reasoning_start
        return start + span[0], start + span[1]


@dataclass(frozen=True)
class PairCase(Case):
    """Two answers to one prompt; `response` is the one that is shown first."""

    other: str = ""

    @cached_property
    def second(self) -> Case:
        return Case(self.prompt, self.other, self.reference, self.earlier)


@dataclass(frozen=True)
class CriterionCase(Case):
    """An answer and one criterion that it may meet."""

    criterion: str = ""


def without_end_tokens(response: str) -> str:
    text = response.rstrip()
    while token := next((token for token in _END_TOKENS if text.endswith(token)), ""):
        text = text.removesuffix(token).rstrip()
        response = text
    return response
