"""What a row of any format means: who said what, and one or two answers to it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Role = Literal["system", "user", "assistant"]
Kind = Literal["conversation", "prompt", "preference", "unpaired", "document"]
"""conversation: ends with an answer, to learn from. prompt: ends with a question. preference: a
prompt with a better and a worse answer. unpaired: a prompt with one answer and whether it was
liked. document: plain text."""


@dataclass(frozen=True, slots=True)
class Message:
    role: Role
    content: str


@dataclass(frozen=True, slots=True)
class Example:
    """`messages` ends with the answer in a conversation, else with the question."""

    messages: tuple[Message, ...] = ()
    chosen: str | None = None
    rejected: str | None = None
    """The worse answer; with `chosen` this makes a preference."""
    completion: str | None = None
    liked: bool | None = None
    """Whether `completion` was liked; both make an unpaired vote."""
    text: str | None = None
    """A document's text."""
    id: str | None = None
    meta: Mapping[str, Any] = field(default_factory=dict)
    """What is known about the row; the fields of `galen.records.Meta`, as far as they are there."""
    extra: Mapping[str, Any] = field(default_factory=dict)
    """Columns that the format gives no meaning. They are kept."""

    @property
    def kind(self) -> Kind:
        if self.text is not None:
            return "document"
        if self.chosen is not None or self.rejected is not None:
            return "preference"
        if self.completion is not None:
            return "unpaired"
        answered = bool(self.messages) and self.messages[-1].role == "assistant"
        return "conversation" if answered else "prompt"

    @property
    def system(self) -> str:
        """The system message at the beginning; empty without one."""
        first = self.messages[0] if self.messages else None
        return first.content if first and first.role == "system" else ""

    @property
    def without_system(self) -> tuple[Message, ...]:
        return self.messages[1:] if self.system else self.messages

    @property
    def prompt(self) -> tuple[Message, ...]:
        """The messages before the answer."""
        return self.messages[:-1] if self.kind == "conversation" else self.messages

    @property
    def question(self) -> str:
        """The last thing that the user said; empty if there is none."""
        return next((m.content for m in reversed(self.prompt) if m.role == "user"), "")

    @property
    def answer(self) -> str | None:
        """The answer to learn from: a conversation's last message, or the better one of two."""
        return self.messages[-1].content if self.kind == "conversation" else self.chosen
