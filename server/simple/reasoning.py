"""A Qwen3 answer split into `reasoning` and `content` as it comes, as vLLM's parser splits it.

The answer begins inside the thought, whether or not it opens with `<think>`. The first `</think>`
ends it, or a tool call where tools were offered. Tags in the content stay there.
"""

from __future__ import annotations

from dataclasses import dataclass

from galen.transcript import THINK_CLOSE, THINK_OPEN

TOOL_OPEN = "<tool_call>"


@dataclass(frozen=True, slots=True)
class Parts:
    reasoning: str = ""
    content: str = ""


def overlap(text: str, tag: str) -> int:
    """Length of the longest end of `text` with which `tag` begins, short of all of it."""
    for length in range(min(len(tag) - 1, len(text)), 0, -1):
        if tag.startswith(text[-length:]):
            return length
    return 0


class ReasoningSplitter:
    """`thinking`: whether the answer begins with a thought; `tools`: whether a call may end it."""

    def __init__(self, *, thinking: bool, tools: bool = False) -> None:
        self.is_thinking = thinking
        self._tags = (THINK_OPEN, THINK_CLOSE, TOOL_OPEN) if tools else (THINK_OPEN, THINK_CLOSE)
        self._held = ""

    def feed(self, text: str) -> Parts:
        """What this text adds to either part; the beginning of a tag is held back."""
        if not self.is_thinking:
            return Parts(content=text)
        self._held += text
        reasoning = ""
        while self.is_thinking and (found := self._first_tag()):
            start, tag = found
            reasoning += self._held[:start]
            # The call itself is content; the two other tags are nobody's.
            self._held = self._held[start if tag == TOOL_OPEN else start + len(tag) :]
            self.is_thinking = tag == THINK_OPEN
        if not self.is_thinking:
            content, self._held = self._held, ""
            return Parts(reasoning, content)
        end = len(self._held) - max(overlap(self._held, tag) for tag in self._tags)
        sent, self._held = self._held[:end], self._held[end:]
        return Parts(reasoning + sent)

    def finish(self) -> Parts:
        """What was held back for a tag that did not come."""
        sent, self._held = self._held, ""
        return Parts(reasoning=sent)

    def _first_tag(self) -> tuple[int, str] | None:
        found = [(self._held.find(tag), tag) for tag in self._tags]
        return min(((start, tag) for start, tag in found if start >= 0), default=None)
