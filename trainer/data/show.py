"""Rows as a model will see them: the template's text, who wrote what, and what is learnt."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from galen import DISCLAIMER_EN, DISCLAIMER_ZH, transcript
from trainer.data.example import Example, Message

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

Part = Literal["system", "user", "thought", "assistant", "template"]
UNFINISHED = "\ufffd"
"""What a decoder writes for part of a character."""
LONGEST_CHARACTER = 8
"""Tokens that one character can take; after so many, the mark stands for itself."""


@dataclass(frozen=True, slots=True)
class Piece:
    text: str
    part: Part
    learnt: bool
    ids: tuple[int, ...] = ()
    """One token id, or several that make one character; none without a tokenizer."""


@dataclass(frozen=True, slots=True)
class Sequenced:
    """One sequence that a model trains on."""

    name: str
    """Such as `chosen`; empty if the row makes one sequence only."""
    pieces: tuple[Piece, ...]

    @property
    def tokens(self) -> int:
        return sum(len(piece.ids) for piece in self.pieces)

    @property
    def learnt(self) -> int:
        return sum(len(piece.ids) for piece in self.pieces if piece.learnt)


@dataclass(frozen=True, slots=True)
class Shown:
    place: str
    example: Example
    sequences: tuple[Sequenced, ...]


def show(place: str, example: Example, tokenizer: PreTrainedTokenizerBase | None = None) -> Shown:
    """The row as its sequences of tokens, or of texts without a tokenizer."""
    if tokenizer is None:
        return Shown(place, example, tuple(_untokenized(example)))
    from trainer.data.tokens import sequences

    found = list(sequences(tokenizer, example))
    names = _names(example, len(found))
    made = [
        Sequenced(name, tuple(_pieces(tokenizer, each.input_ids, each.completion_mask, messages)))
        for (name, messages), each in zip(names, found, strict=True)
    ]
    return Shown(place, example, tuple(made))


def page(rows: Sequence[Shown], *, title: str, read_as: str, model: str) -> str:
    """An HTML page that needs no other file. `model` names the tokenizer; it may be empty."""
    folder = Path(__file__).parent
    environment = Environment(
        loader=FileSystemLoader(folder), autoescape=True, undefined=StrictUndefined
    )
    return environment.get_template("show.html.jinja").render(
        rows=rows,
        title=title,
        read_as=read_as,
        model=model,
        disclaimers=(DISCLAIMER_ZH, DISCLAIMER_EN),
    )


def _names(example: Example, count: int) -> list[tuple[str, tuple[Message, ...]]]:
    """Each sequence's name and the messages in it."""
    answers = [("chosen", example.chosen), ("rejected", example.rejected), ("", example.completion)]
    named = [
        (name, (*example.messages, Message("assistant", text)))
        for name, text in answers
        if text is not None
    ]
    many = [
        (f"{number}/{count}" if count > 1 else "", example.messages)
        for number in range(1, count + 1)
    ]
    return named or many


def _pieces(
    tokenizer: PreTrainedTokenizerBase,
    ids: Sequence[int],
    mask: Sequence[int],
    messages: Sequence[Message],
) -> Iterator[Piece]:
    texts = list(_decoded(tokenizer, ids))
    parts = _parts("".join(text for text, _ in texts), messages)
    at = token = 0
    for text, count in texts:
        part = parts[at] if at < len(parts) else "template"
        yield Piece(text, part, bool(mask[token]), tuple(ids[token : token + count]))
        at, token = at + len(text), token + count


def _decoded(tokenizer: PreTrainedTokenizerBase, ids: Sequence[int]) -> Iterator[tuple[str, int]]:
    """The text of each token, or of the tokens that make one character, and their number."""
    start = 0
    for end in range(1, len(ids) + 1):
        text = tokenizer.decode(ids[start:end], clean_up_tokenization_spaces=False)
        is_whole = not text.endswith(UNFINISHED)
        if is_whole or end - start == LONGEST_CHARACTER or end == len(ids):
            yield text, end - start
            start = end


def _parts(text: str, messages: Sequence[Message]) -> list[Part]:
    """Which part each character belongs to: what no message holds is the template's."""
    parts: list[Part] = ["template"] * len(text)
    at = 0
    for part, said in _said(messages):
        start = text.find(said, at)
        if start >= 0:
            at = start + len(said)
            parts[start:at] = [part] * len(said)
    return parts


def _said(messages: Sequence[Message]) -> Iterator[tuple[Part, str]]:
    for message in messages:
        if message.role != "assistant":
            yield message.role, message.content.strip()
            continue
        read = transcript.parse(message.content)
        if read.reasoning:
            yield "thought", read.reasoning
        yield "assistant", read.answer


def _untokenized(example: Example) -> Iterator[Sequenced]:
    if example.text is not None:
        yield Sequenced("", (Piece(example.text, "assistant", learnt=True),))
        return
    for name, messages in _names(example, 1):
        said = list(_said(messages))
        yield Sequenced(name, tuple(_lines(said, is_answered=messages[-1].role == "assistant")))


def _lines(said: Sequence[tuple[Part, str]], *, is_answered: bool) -> Iterator[Piece]:
    for part, text in said:
        learnt = is_answered and part in ("thought", "assistant")
        yield Piece(f"{part}: ", "template", learnt=False)
        yield Piece(text, part, learnt)
        yield Piece("\n", "template", learnt=False)
