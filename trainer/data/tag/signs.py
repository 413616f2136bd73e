"""A sign: words that must all be in a text, and are not denied there."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from galen.dangers.wordlist import compiled

_DENIED = re.compile(
    r"(?:没有?(?:任何|什么|过)?|无|未见?|否认|排除|(?<![是会能要])不(?:是|会|伴|算|怎么)?"
    r"|\b(?:no|not|without|never|don'?t have|doesn'?t have)\s(?:\w+\s)?)$",
)
_BEFORE = 24
"""Characters before a word in which its denial would stand."""


@dataclass(frozen=True, slots=True)
class Sign:
    name: str
    groups: tuple[re.Pattern[str], ...]
    """One word of each must be there."""

    def find(self, text: str) -> str | None:
        """The words that make the sign, or None."""
        words = []
        for group in self.groups:
            word = said(group, text)
            if word is None:
                return None
            words.append(word)
        return ", ".join(words)


def sign(name: str, *groups: str) -> Sign:
    return Sign(name, tuple(compiled(group) for group in groups))


def first_of(signs: Iterable[Sign], text: str) -> str | None:
    """The first sign that the text shows: its name and its words."""
    for each in signs:
        if words := each.find(text):
            return f"{each.name}: {words}"
    return None


def matches(pattern: re.Pattern[str], text: str) -> list[str]:
    """Every different match that is not denied, in order."""
    return list(dict.fromkeys(_found(pattern, text)))


def said(pattern: re.Pattern[str], text: str) -> str | None:
    """The first match that is not denied."""
    return next(_found(pattern, text), None)


def _found(pattern: re.Pattern[str], text: str) -> Iterator[str]:
    for match in pattern.finditer(text):
        before = text[max(0, match.start() - _BEFORE) : match.start()]
        if not _DENIED.search(before):
            yield match.group()
