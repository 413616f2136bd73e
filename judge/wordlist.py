"""Word lists as regular expressions that a person can read and add to."""

from __future__ import annotations

import re

_SPECIAL = frozenset("\\.^$*+?{}[]|()")
_QUANTIFIERS = ("*", "+", "?", "{")
_CLASS = re.compile(r"\[([^\]\\^-]+)\](?![*+?{])")
"""A plain set of characters at an entry's beginning."""


def any_of(*lists: str) -> str:
    """A group that matches any of the entries, which white space keeps apart.

    An entry may itself be a regular expression without white space or a bare `|` in it. Entries
    that begin with the same character share a branch, which makes long lists many times quicker:
    only entries with the same beginning keep their order.
    """
    groups: dict[str, list[str]] = {}
    others: list[str] = []
    for entry in (entry for words in lists for entry in words.split()):
        firsts, rest = _beginning(entry)
        if not firsts:
            others.append(entry)
        for first in firsts:
            branch = groups.setdefault(first, [])
            if rest not in branch:
                branch.append(rest)
    branches = [_branch(first, rests) for first, rests in groups.items()]
    return f"(?:{'|'.join(branches + others)})"


def compiled(*lists: str) -> re.Pattern[str]:
    return re.compile(any_of(*lists))


def _beginning(entry: str) -> tuple[str, str]:
    """The characters that an entry can begin with, if that is plain to see, and what follows."""
    if found := _CLASS.match(entry):
        return found.group(1), entry[found.end() :]
    if entry[0] in _SPECIAL or entry[1:].startswith(_QUANTIFIERS):
        return "", entry
    return entry[0], entry[1:]


def _branch(first: str, rests: list[str]) -> str:
    return re.escape(first) + (rests[0] if len(rests) == 1 else f"(?:{'|'.join(rests)})")
