"""Word lists as regular expressions that a person can read and add to."""

from __future__ import annotations

import re


def any_of(*lists: str) -> str:
    """A group that matches any of the entries, which white space keeps apart.

    An entry may itself be a regular expression without white space in it.
    """
    return f"(?:{'|'.join(entry for words in lists for entry in words.split())})"


def compiled(*lists: str) -> re.Pattern[str]:
    return re.compile(any_of(*lists))
