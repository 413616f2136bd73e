"""One answer under judgement, with everything that the rules compute about it cached."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple

from galen.transcript import Transcript, parse
from judge.plain import Plain, read_plain
from judge.scope import Sentence, sentences
from judge.scope import Span as Span
from judge.situation import Situation, read_situation


class Hit(NamedTuple):
    span: Span | None
    """Span in the response; None if the finding is that something is missing."""
    is_certain: bool = True
    """Whether the rule may decide without a reader."""


@dataclass(frozen=True)
class Case:
    prompt: str
    response: str
    reference: str = ""
    found: dict[tuple[str, int | None], Hit | None] = field(
        default_factory=dict, compare=False, repr=False
    )
    """Results of `judge.rules.find` so far, by rule and threshold."""

    @cached_property
    def transcript(self) -> Transcript:
        return parse(self.response)

    @property
    def answer(self) -> str:
        return self.transcript.answer

    @cached_property
    def plain_answer(self) -> Plain:
        """The answer in the form that the rules read."""
        return read_plain(self.answer)

    @cached_property
    def plain_prompt(self) -> str:
        return read_plain(self.prompt).text

    @cached_property
    def answer_sentences(self) -> tuple[Sentence, ...]:
        """Sentences of the plain answer."""
        return sentences(self.plain_answer.text)

    @cached_property
    def reasoning_sentences(self) -> tuple[Sentence, ...]:
        return sentences(self.transcript.reasoning)

    @cached_property
    def situation(self) -> Situation:
        return read_situation(self.prompt)

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
