"""Splits a completion into reasoning and answer; the one place that knows the tags.

The split follows from what the chat template opened at the end of the prompt, and from what the
model wrote. A tag counts only in its place: `<think>` at the very beginning, the first `</think>`
after it, `<answer>` right after that, or at the beginning if the template closed the thought.
Anywhere else it is text like any other. A thought that was cut off has no answer: nothing says that
the model meant any of it for the reader.

White space next to a tag that counts belongs to the tag. All other text stays as it is.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum, auto

THINK_OPEN = "<think>"
THINK_CLOSE = "</think>"
ANSWER_OPEN = "<answer>"
ANSWER_CLOSE = "</answer>"

_TURN = re.compile(r"<\|[^|<>]*\|>|<｜[^｜<>]*｜>|\[/INST\]|<(?:start|end)_of_turn>")
"""What chat templates write between turns."""


class Opening(Enum):
    """How the prompt ends, and so where the completion begins."""

    NOTHING = "nothing"
    """Outside a thought: the model may open one."""
    THOUGHT = "thought"
    """Inside a thought, which the template opened."""
    CLOSED = "closed"
    """After a thought that the template opened and closed: thinking is switched off."""


@dataclass(frozen=True, slots=True)
class Piece:
    """What some more text adds to the reasoning and to the answer."""

    reasoning: str = ""
    answer: str = ""


@dataclass(frozen=True, slots=True)
class Transcript:
    reasoning: str
    """The reasoning, stripped; empty if there is none."""
    answer: str
    """What the reader is shown, stripped."""
    reasoning_start: int
    """Index of the reasoning's first character in the text it was parsed from."""
    answer_start: int
    """The same of the answer; without one, the end of the text."""
    closed: bool
    """Whether the reasoning, if any was begun, was ended."""
    tagged: bool = False
    """Whether `<answer>` stood before the answer."""

    def render(self) -> str:
        """The text a model is trained on, in Qwen3's form: the tags, an empty line, the answer."""
        answer = f"{ANSWER_OPEN}{self.answer}{ANSWER_CLOSE}" if self.tagged else self.answer
        return f"{THINK_OPEN}\n{self.reasoning}\n{THINK_CLOSE}\n\n{answer}"


def opening_of(prompt: str) -> Opening:
    """What the chat template opened at the end of a rendered prompt.

    Only the last turn counts, so that a tag in a user's message opens nothing. Where no turn's
    mark is known, the tag must stand at the very end.
    """
    turns = list(_TURN.finditer(prompt))
    last = prompt[turns[-1].end() :] if turns else prompt
    opened, closed = last.rfind(THINK_OPEN), last.rfind(THINK_CLOSE)
    if opened == closed:  # neither is there
        return Opening.NOTHING
    tag = THINK_OPEN if opened > closed else THINK_CLOSE
    if not turns and not last.rstrip().endswith(tag):
        return Opening.NOTHING
    return Opening.THOUGHT if tag == THINK_OPEN else Opening.CLOSED


def parse(text: str, opening: Opening | None = None) -> Transcript:
    """Split a whole completion into reasoning and answer.

    Without `opening`, as for a completion read from a file, the text decides: one that has
    `</think>` but does not begin with `<think>` began inside a thought.
    """
    splitter = Splitter(opening or _opening_before(text))
    pieces = splitter.feed(text), splitter.finish()
    answer = "".join(piece.answer for piece in pieces)
    start = len(text)
    if answer and splitter.answer_start is not None:
        start = splitter.answer_start + len(answer) - len(answer.lstrip())
    return Transcript(
        "".join(piece.reasoning for piece in pieces).strip(),
        answer.strip(),
        splitter.reasoning_start or 0,
        start,
        closed=not splitter.thinking,
        tagged=splitter.tagged,
    )


def of_message(reasoning: str | None, content: str | None) -> Transcript:
    """A transcript of a chat message as an API gives it.

    A server without a reasoning parser leaves the tags in the content, which then begins with one.
    """
    if not reasoning:
        return parse(content or "", Opening.NOTHING)
    return of(reasoning, content) if content else parse(f"{THINK_OPEN}\n{reasoning}")


def of(reasoning: str, answer: str) -> Transcript:
    """A transcript made from its two parts, as a data row or a chat message gives them."""
    return parse(f"{THINK_OPEN}\n{reasoning.strip()}\n{THINK_CLOSE}\n\n{answer.strip()}")


class _At(Enum):
    START = auto()
    CLOSED_START = auto()
    THOUGHT_START = auto()
    THOUGHT = auto()
    AFTER_THOUGHT = auto()
    ANSWER = auto()
    TAGGED_ANSWER = auto()
    END = auto()


class Splitter:
    """Splits a completion as it comes.

    The pieces add up to the same wherever the text is cut. Text that may turn out to be a tag, or
    white space next to one, waits until that is clear.
    """

    def __init__(self, opening: Opening = Opening.NOTHING) -> None:
        self._at = {
            Opening.NOTHING: _At.START,
            Opening.THOUGHT: _At.THOUGHT_START,
            Opening.CLOSED: _At.CLOSED_START,
        }[opening]
        self._held = ""
        self._taken = 0
        self.reasoning_start: int | None = None
        """Index of the reasoning's first character in all the text fed; None before it."""
        self.answer_start: int | None = None
        """The same of the answer."""

    @property
    def thinking(self) -> bool:
        """Whether a thought is open."""
        return self._at in (_At.THOUGHT_START, _At.THOUGHT)

    @property
    def tagged(self) -> bool:
        """Whether the answer stands in `<answer>` tags."""
        return self._at in (_At.TAGGED_ANSWER, _At.END)

    @property
    def verbatim(self) -> bool:
        """Whether all further text is answer, exactly as it comes."""
        return self._at is _At.ANSWER

    def feed(self, text: str) -> Piece:
        """What this text adds."""
        self._held += text
        return self._split(final=False)

    def finish(self) -> Piece:
        """The text that waited, now that no more comes."""
        return self._split(final=True)

    def _split(self, *, final: bool) -> Piece:
        reasoning = answer = ""
        while True:
            before = self._at
            match self._at:
                case _At.START:
                    self._enter({THINK_OPEN: _At.THOUGHT}, _At.ANSWER, final=final)
                case _At.CLOSED_START:
                    tags = {THINK_OPEN: _At.THOUGHT, ANSWER_OPEN: _At.TAGGED_ANSWER}
                    self._enter(tags, _At.ANSWER, final=final)
                case _At.THOUGHT_START:
                    self._enter({THINK_OPEN: _At.THOUGHT}, _At.THOUGHT, final=final)
                case _At.THOUGHT:
                    reasoning += self._until(THINK_CLOSE, _At.AFTER_THOUGHT, final=final)
                case _At.AFTER_THOUGHT:
                    self._enter({ANSWER_OPEN: _At.TAGGED_ANSWER}, _At.ANSWER, final=final)
                    self._skip_blank()
                case _At.TAGGED_ANSWER:
                    answer += self._until(ANSWER_CLOSE, _At.END, final=final)
                case _At.ANSWER:
                    answer += self._take(len(self._held))
                case _At.END:
                    self._skip(len(self._held))
            if self._at is before:
                return Piece(reasoning, answer)

    def _enter(self, tags: dict[str, _At], without: _At, *, final: bool) -> None:
        """Go on to what the tag at the beginning of the text leads to, else to `without`."""
        text = self._held.lstrip()
        if tag := next((tag for tag in tags if text.startswith(tag)), ""):
            self._skip(len(self._held) - len(text) + len(tag))
            self._at = tags[tag]
        elif final or not any(tag.startswith(text) for tag in tags):
            self._at = without

    def _until(self, tag: str, following: _At, *, final: bool) -> str:
        """Text up to `tag`, without the white space at either end."""
        if self._start() is None:
            self._skip_blank()
        end = self._held.find(tag)
        if end >= 0:
            text = self._take(len(self._held[:end].rstrip()))
            self._skip(self._held.find(tag) + len(tag))
            self._at = following
            return text
        end = len(self._held) - (0 if final else _overlap(self._held, tag))
        return self._take(len(self._held[:end].rstrip()))

    def _start(self) -> int | None:
        return self.reasoning_start if self._at is _At.THOUGHT else self.answer_start

    def _take(self, length: int) -> str:
        text = self._held[:length]
        if text and self._start() is None:
            if self._at is _At.THOUGHT:
                self.reasoning_start = self._taken
            else:
                self.answer_start = self._taken
        self._skip(length)
        return text

    def _skip(self, length: int) -> None:
        self._held = self._held[length:]
        self._taken += length

    def _skip_blank(self) -> None:
        self._skip(len(self._held) - len(self._held.lstrip()))


def _overlap(text: str, tag: str) -> int:
    """Length of the longest end of `text` with which `tag` begins."""
    return next((n for n in range(len(tag) - 1, 0, -1) if text.endswith(tag[:n])), 0)


def _opening_before(text: str) -> Opening:
    """Where a completion began, judged by its text alone.

    A closing tag after an opening one inside the text, or set as code, is only spoken of.
    """
    before, closing, _ = text.partition(THINK_CLOSE)
    if closing and THINK_OPEN not in before and not before.endswith("`"):
        return Opening.THOUGHT
    return Opening.NOTHING
