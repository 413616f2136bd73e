"""Text between the services and the page: streamed deltas, reasoning apart from answer, history."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from galen.telemetry import accept_request_id
from galen.transcript import THINK_CLOSE, THINK_OPEN, Splitter

_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")


def storable(text: str) -> str:
    """`text` of the same length, with � for what neither a page nor the judge can hold."""
    return _UNSTORABLE.sub("\ufffd", text)


@dataclass(frozen=True, slots=True)
class Reply:
    """What the model has written so far, unchanged."""

    reasoning: str = ""
    """Joined `reasoning` deltas, which a server with a reasoning parser sends separately."""
    content: str = ""
    """Joined `content` deltas; holds `<think>…</think>` itself when no parser split it."""
    version: str = ""
    """The policy version that the server says wrote it."""
    finish_reason: str | None = None

    def add(self, chunk: Mapping[str, Any]) -> Reply:
        """The reply after one more chunk of a streamed chat completion."""
        choice: Mapping[str, Any] = next(iter(chunk.get("choices") or ()), {})
        delta = choice.get("delta") or {}
        return replace(
            self,
            reasoning=self.reasoning + (delta.get("reasoning") or ""),
            content=self.content + (delta.get("content") or ""),
            version=str(chunk.get("model") or self.version).removeprefix("policy@"),
            finish_reason=choice.get("finish_reason") or self.finish_reason,
        )

    @property
    def text(self) -> str:
        """The whole completion in the form that the judge reads, thinking tags included.

        An answer that mentions `</think>` follows an empty thought: it would be read as one itself.
        """
        if self.reasoning and not self.content:
            return f"{THINK_OPEN}\n{self.reasoning}"
        begins_with_thought = self.content.lstrip().startswith(THINK_OPEN)
        if not self.reasoning and (begins_with_thought or THINK_CLOSE not in self.content):
            return self.content
        return f"{THINK_OPEN}\n{self.reasoning}\n{THINK_CLOSE}\n\n{self.content}"


@dataclass(frozen=True, slots=True)
class Part:
    """A stretch of a completion: `text` begins at character `start` of the whole."""

    text: str
    start: int


@dataclass(frozen=True, slots=True)
class View:
    """A completion as the page shows it."""

    reasoning: Part
    answer: Part
    thinking: bool
    """Whether the reasoning is still being written, or was cut off."""


def view(text: str) -> View:
    """Reasoning and answer of a completion that may still be growing.

    The beginning of an unfinished tag belongs to neither.
    """
    splitter = Splitter()
    seen = splitter.feed(text)
    answer = seen.answer.lstrip()
    answer_start = (splitter.answer_start or 0) + len(seen.answer) - len(answer)
    return View(
        Part(seen.reasoning, splitter.reasoning_start or 0),
        Part(answer.rstrip(), answer_start if answer else len(text)),
        splitter.thinking,
    )


@dataclass(frozen=True, slots=True)
class Notice:
    """A message for the reader in both languages: what happened, and what to do."""

    zh: str
    en: str


@dataclass(frozen=True, slots=True)
class Turn:
    """A question, and its answer so far."""

    question: str
    reply: Reply = Reply()
    finished: bool = False
    """Whether the answer came to its end, neither stopped nor failed."""
    problem: Notice | None = None
    """Why the answer is incomplete."""
    request_id: str = field(default_factory=lambda: accept_request_id(None), compare=False)
    """The request id that server and judge get."""


def messages(turns: Sequence[Turn], question: str, earlier_turns: int) -> list[dict[str, str]]:
    """OpenAI messages: the last `earlier_turns` finished turns, then the question.

    Earlier reasoning stays out, as in Qwen3's own chat template.
    """
    finished = [turn for turn in turns if turn.finished and view(turn.reply.text).answer.text]
    sent: list[dict[str, str]] = []
    for turn in finished[len(finished) - min(earlier_turns, len(finished)) :]:
        sent.append({"role": "user", "content": turn.question})
        sent.append({"role": "assistant", "content": view(turn.reply.text).answer.text})
    return [*sent, {"role": "user", "content": question}]
