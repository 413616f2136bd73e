"""Personal data out of a row, and surrogates in its place."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from trainer.data.deidentify.find import Kind, Span, find
from trainer.data.deidentify.surrogates import Surrogates
from trainer.data.example import Example

__all__ = ["Kind", "Span", "Surrogates", "deidentify", "find", "masked", "names_in"]


def deidentify(example: Example, surrogates: Surrogates) -> tuple[Example, Counter[str]]:
    """The example with surrogates, and how many there are of each kind.

    Only this sets `meta.is_deidentified`. Columns that have no meaning are left as they are, so a
    row that has any says `false`.
    """
    counts: Counter[str] = Counter()
    known = names_in([each.content for each in example.messages] + _answers(example))

    def clean(text: str) -> str:
        changed, found = masked(text, surrogates, known)
        counts.update(found)
        return changed

    messages = tuple(replace(each, content=clean(each.content)) for each in example.messages)
    texts: dict[str, Any] = {
        name: clean(value)
        for name in ("chosen", "rejected", "completion", "text")
        if (value := getattr(example, name)) is not None
    }
    meta = {**example.meta, "is_deidentified": not _has_texts(example)}
    return replace(example, messages=messages, meta=meta, **texts), counts


def masked(
    text: str, surrogates: Surrogates, known: Iterable[str] = ()
) -> tuple[str, Counter[str]]:
    """The text with surrogates, and how many there are of each kind.

    `known` names are replaced wherever they stand, also where no word around says that they are.
    """
    spans = find(text, {*known, *names_in([text])})
    parts, at = [], 0
    for span in spans:
        parts += [text[at : span.start], surrogates.of(span.kind, text[span.start : span.end])]
        at = span.end
    return "".join([*parts, text[at:]]), Counter(span.kind for span in spans)


def names_in(texts: Iterable[str]) -> set[str]:
    """Full names in the texts; a surname alone is too often part of a word."""
    found = {
        text[span.start : span.end] for text in texts for span in find(text) if span.kind == "name"
    }
    return {name for name in found if len(name) > 1 and (not name.isascii() or " " in name)}


def _answers(example: Example) -> list[str]:
    given = (example.chosen, example.rejected, example.completion, example.text)
    return [text for text in given if text is not None]


def _has_texts(example: Example) -> bool:
    """Whether a column without meaning may hold personal data."""
    return any(isinstance(value, str | list | dict) for value in example.extra.values())
