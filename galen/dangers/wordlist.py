"""Turns readable word lists into fast regular expressions.

Lists of thousands of words are searched in every answer. Python's engine finds a possible start
quickly only if each alternative begins with a plain character. So entries are rewritten to begin
with one, where this does not change what they match.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

_SPECIAL = frozenset("\\.^$*+?{}[]|()")
_QUANTIFIERS = ("*", "+", "?", "{")
_CLASS = re.compile(r"\[([^\]\\^-]+)\](?![*+?{])")
"""A plain set of characters at an entry's start: [发高]烧."""
_GROUP = re.compile(r"\(\?:([^()\[\]{}*+?.^$\\]+)\)(?![*+?{])")
"""Plain alternatives at the start: (?:上次|以前)."""
_BEHIND = re.compile(r"(\(\?<!(?:\[[^\]]+\]|[^()\[\]{}*+?.^$\\|]+)\))")
"""A negative lookbehind at the start: (?<!情绪)安定."""


def any_of(*lists: str) -> str:
    """A group that matches any of the entries, which are separated by white space.

    An entry may be a regular expression without white space and without a bare `|`. Entries with
    the same first character share a branch and keep their order; others may not.
    """
    groups: dict[str, list[str]] = {}
    others: list[str] = []
    for written in (entry for words in lists for entry in words.split()):
        for entry in _expanded(written):
            if entry[0] in _SPECIAL or entry[1:].startswith(_QUANTIFIERS):
                others.append(entry)
            elif entry[1:] not in groups.setdefault(entry[0], []):
                groups[entry[0]].append(entry[1:])
    branches = [_branch(first, rests) for first, rests in groups.items()]
    return f"(?:{'|'.join(branches + others)})"


def compiled(*lists: str) -> re.Pattern[str]:
    return re.compile(any_of(*lists))


def _expanded(entry: str) -> Iterator[str]:
    """The entry rewritten as entries that begin with a plain character, where possible."""
    if found := _BEHIND.match(entry):
        rests = list(_expanded(entry[found.end() :]))
        if all(rest and rest[0] not in _SPECIAL for rest in rests):
            # The lookbehind moves behind the first character, so that character is added to it.
            yield from (f"{r[0]}{found.group(1)[:-1]}{r[0]}){r[1:]}" for r in rests)
        else:
            yield entry
    elif found := _GROUP.match(entry):
        for word in found.group(1).split("|"):
            yield from _expanded(word + entry[found.end() :]) if word else (entry,)
    elif found := _CLASS.match(entry):
        for first in found.group(1):
            yield (f"\\{first}" if first in _SPECIAL else first) + entry[found.end() :]
    else:
        yield entry


def _branch(first: str, rests: list[str]) -> str:
    return first + (rests[0] if len(rests) == 1 else f"(?:{'|'.join(rests)})")
