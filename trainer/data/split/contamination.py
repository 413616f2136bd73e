"""What training rows share with test sets: runs of 13 characters, as is usual for Chinese."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from trainer.data.example import Example
from trainer.data.split.groups import normalised

N = 13
LATIN_FACTOR = 5
"""An English word has about five letters: texts in Latin letters are compared by runs of 13 words'
length, since 13 letters are only two or three words."""
_LATIN = re.compile("[a-z]")


@dataclass(frozen=True, slots=True)
class Hit:
    test_set: str
    text: int
    """Which text of the test set, counted from 1."""
    run: str
    """The shared characters, without white space and punctuation."""


class Contamination:
    """Finds rows that share a run of `n` characters with a text of a named test set.

    White space, punctuation, case and width do not count. Texts of fewer than `n` characters cannot
    be found; `too_short` counts them. Memory: about 200 bytes for each character of the test sets.
    """

    def __init__(self, test_texts: Mapping[str, Iterable[str]], n: int = N) -> None:
        self.too_short = 0
        self._indices = [_Index(n), _Index(LATIN_FACTOR * n)]
        for name, texts in test_texts.items():
            for number, text in enumerate(texts, start=1):
                whole = normalised(text)
                is_latin = 2 * len(_LATIN.findall(whole)) > len(whole)
                self.too_short += not self._indices[is_latin].add(name, number, whole)

    def hits(self, example: Example) -> list[Hit]:
        """One hit for each text of a test set that shares a run with anything the row says."""
        parts = [each.content for each in example.messages]
        parts += [example.text or "", example.chosen or "", example.rejected or ""]
        text = "\0".join(normalised(part) for part in [*parts, example.completion or ""])
        found: dict[tuple[str, int], Hit] = {}
        for index in self._indices:
            for hit in index.find(text):
                found.setdefault((hit.test_set, hit.text), hit)
        return list(found.values())


class _Index:
    """All runs of `size` characters, and shorter ones that dismiss most of a row at once.

    A run of `size` holds a short run that begins at a multiple of `step`, wherever it begins.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self._short_size = size // 2 + 1
        self._step = size - self._short_size + 1
        self._runs: dict[str, list[tuple[str, int]]] = {}
        self._short: set[str] = set()

    def add(self, name: str, number: int, text: str) -> bool:
        """Whether the text is long enough to be found."""
        for at in range(len(text) - self.size + 1):
            places = self._runs.setdefault(text[at : at + self.size], [])
            if (name, number) not in places:
                places.append((name, number))
        for at in range(len(text) - self._short_size + 1):
            self._short.add(text[at : at + self._short_size])
        return len(text) >= self.size

    def find(self, text: str) -> Iterator[Hit]:
        if not self._runs:
            return
        for at in range(0, len(text) - self._short_size + 1, self._step):
            if text[at : at + self._short_size] not in self._short:
                continue
            for start in range(max(0, at - self._step + 1), at + 1):
                run = text[start : start + self.size]
                for name, number in self._runs.get(run, ()):
                    yield Hit(name, number, run)
