"""Word lists as regular expressions that a person can read and add to.

A list of thousands of words is searched in every answer. Python's engine skips quickly to where an
alternative can begin only if each begins with a plain character, so entries are rewritten to do so
where that can be done without changing what they match.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

_SPECIAL = frozenset("\\.^$*+?{}[]|()")
_QUANTIFIERS = ("*", "+", "?", "{")
_CLASS = re.compile(r"\[([^\]\\^-]+)\](?![*+?{])")
"""A plain set of characters at an entry's beginning: [发高]烧."""
_GROUP = re.compile(r"\(\?:([^()\[\]{}*+?.^$\\]+)\)(?![*+?{])")
"""Plain alternatives there: (?:上次|以前)."""
_BEHIND = re.compile(r"(\(\?<!(?:\[[^\]]+\]|[^()\[\]{}*+?.^$\\|]+)\))")
"""What must not stand before it: (?<!情绪)安定."""


def any_of(*lists: str) -> str:
    """A group that matches any of the entries, which white space keeps apart.

    An entry may itself be a regular expression without white space or a bare `|` in it. Entries
    that begin with the same character share a branch: only those keep their order.
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
    """The same entry as one or more that begin with a plain character, as far as that goes."""
    if found := _BEHIND.match(entry):
        rests = list(_expanded(entry[found.end() :]))
        if all(rest and rest[0] not in _SPECIAL for rest in rests):
            # After the first character, what must not stand before it ends with that character.
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
