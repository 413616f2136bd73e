"""A completion read as visible reasoning and an answer: `<think>…</think>` then the answer.

The one place that knows the tags. A thought that was cut off before `</think>` has no answer:
whatever was written of it is reasoning, since nothing says that the model meant it for the reader.
"""

from __future__ import annotations

from dataclasses import dataclass

THINK_OPEN = "<think>"
THINK_CLOSE = "</think>"


@dataclass(frozen=True, slots=True)
class Transcript:
    reasoning: str
    """What stands between the tags, stripped; empty when there are none."""
    answer: str
    """What the reader is told, stripped."""
    answer_start: int
    """Index of the answer's first character in the text it was parsed from."""
    closed: bool
    """Whether the reasoning, if any was begun, was ended."""

    def render(self) -> str:
        """The text a model is trained on, in Qwen3's form: the tags, an empty line, the answer."""
        return f"{THINK_OPEN}\n{self.reasoning}\n{THINK_CLOSE}\n\n{self.answer}"


def parse(text: str) -> Transcript:
    """Split a completion at its first `</think>`.

    The opening tag may be missing, since some chat templates put it into the prompt. A tag inside
    the answer stays there: it is the model's mistake and the rules must see it.
    """
    head, close, tail = text.partition(THINK_CLOSE)
    if close:
        reasoning = head.lstrip().removeprefix(THINK_OPEN)
        start = len(head) + len(close) + len(tail) - len(tail.lstrip())
        return Transcript(reasoning.strip(), tail.strip(), start, closed=True)
    stripped = text.lstrip()
    if stripped.startswith(THINK_OPEN):
        reasoning = stripped.removeprefix(THINK_OPEN).strip()
        return Transcript(reasoning, "", len(text), closed=False)
    return Transcript("", text.strip(), len(text) - len(stripped), closed=True)


def of(reasoning: str, answer: str) -> Transcript:
    """A transcript made from its two parts, as a data row or a chat message gives them."""
    return parse(f"{THINK_OPEN}\n{reasoning.strip()}\n{THINK_CLOSE}\n\n{answer.strip()}")
