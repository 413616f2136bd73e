"""Undoes disguises: folds invisible, decorated and look-alike characters, and decodes encodings.

A phrase is searched in the folded text; its span is reported for the original text.
"""

from __future__ import annotations

import base64
import binascii
import html
import re
import unicodedata
from collections.abc import Callable, Iterator, Mapping
from urllib.parse import unquote

from judge.text.written_form import SIMPLIFIED

Span = tuple[int, int]

_LOOK_ALIKES = """
аa еe оo рp сc уy хx іi ѕs јj һh ԁd ԛq ԝw ѵv кk мm тt вb нh
οo αa νv ρp ιi κk τt υu χx ɑa ıi
ᴀa ʙb ᴄc ᴅd ᴇe ɢg ʜh ɪi ᴊj ᴋk ʟl ᴍm
ɴn ᴏo ᴘp ʀr ꜱs ꜰf ᴛt ᴜu ᴠv ᴡw ʏy ᴢz
"""
"""Pairs: a Cyrillic or Greek letter or a small capital, and the Latin letter that it stands for."""
_MEANT = SIMPLIFIED | {pair[0]: pair[1] for pair in _LOOK_ALIKES.split()}
_TAGS = range(0xE0020, 0xE007F)
"""Tag characters, invisible copies of ASCII."""
_CIRCLED = (0x1F1E6, 0x1F150, 0x1F170)
"""Starts of alphabets: regional indicators, negative circled and negative squared letters."""
_FILLERS = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0")
_DECORATION = frozenset("*_~`|^·•‧・‐‑‒–—―-'\"‘’“”„«»「」『』【】〖〗[]\\<>#")


def is_invisible(char: str) -> bool:
    """Whether a character is a format or control character, a filler or a variation selector."""
    if char in "\n\t\r":
        return False
    return (
        unicodedata.category(char) in ("Cf", "Cc", "Co")
        or char in _FILLERS
        or "\ufe00" <= char <= "\ufe0f"
        or "\U000e0000" <= char <= "\U000e01ef"
    )


class Fold(dict[int, str]):
    """A table for `str.translate` that computes each character's fold once."""

    def __init__(self, keeps: Callable[[str], bool]) -> None:
        super().__init__()
        self._keeps = keeps
        self._last = ("", "")

    def of(self, text: str) -> str:
        """The folded text; the latest one is cached, since several patterns search it."""
        last = self._last
        if last[0] is not text:
            last = self._last = (text, text.translate(self))
        return last[1]

    def __missing__(self, code: int) -> str:
        char = chr(code)
        folded = char if char in "\n\t" else _folded(char)
        self[code] = "".join(one for one in folded if self._keeps(one))
        return self[code]


def _folded(char: str) -> str:
    code = ord(char)
    if code in _TAGS:
        return chr(code - 0xE0000).casefold()
    for first in _CIRCLED:
        if 0 <= code - first < 26:
            return chr(ord("a") + code - first)
    if is_invisible(char):
        return ""
    parts = unicodedata.normalize("NFKD", char)
    bare = "".join(part for part in parts if unicodedata.category(part) != "Mn")
    plain = unicodedata.normalize("NFKC", bare).casefold()
    return "".join(_MEANT.get(one, one) for one in plain)


LINED = Fold(lambda char: True)
"""Keeps white space and mark-up."""
COMPACT = Fold(lambda char: not char.isspace() and char not in _DECORATION)
"""Drops white space, quotation marks and mark-up."""
LETTERS = Fold(str.isalnum)
"""Keeps letters and digits only."""


def find(pattern: re.Pattern[str], text: str, fold: Fold) -> Span | None:
    """The first match in the folded text, as a span of the original text."""
    found = pattern.search(fold.of(text))
    if not found or found.start() == found.end():
        return None
    return written(text, fold, found.span())


def written(text: str, fold: Mapping[int, str], span: Span) -> Span:
    """The span of the original text for a non-empty span of the folded text."""
    places = placed(text, fold)
    return places[span[0]], places[span[1] - 1] + 1


def placed(text: str, fold: Mapping[int, str]) -> list[int]:
    """For each character of the folded text its index in the original text."""
    return [index for index, char in enumerate(text) for _ in fold[ord(char)]]


_ENCODED = re.compile(
    r"(?P<spaced>\b\w(?:[ \u3000]{1,4}\w\b){7,})"
    r"|(?P<base64>[A-Za-z0-9+/]{16,}={0,2})|(?P<escape>(?:\\u[0-9a-fA-F]{4}){2,})"
    r"|(?P<entity>(?:&#?\w{2,8};){2,})|(?P<percent>(?:%[0-9a-fA-F]{2}){4,})"
)


def decoded(text: str) -> Iterator[tuple[str, Span]]:
    """The decoded pieces of a text, each with the span of its encoding; failures are skipped."""
    for found in _ENCODED.finditer(text):
        if hidden := _DECODERS[found.lastgroup or ""](found.group()):
            yield hidden, found.span()


def _from_bytes(piece: str) -> str:
    """Base64 or hexadecimal digits."""
    try:
        if re.fullmatch("(?:[0-9a-fA-F]{2})+", piece):
            return bytes.fromhex(piece).decode("utf-8")
        whole = piece.rstrip("=")
        padded = whole + "=" * (-len(whole) % 4)
        return base64.b64decode(padded, validate=True).decode("utf-8")
    except (binascii.Error, UnicodeDecodeError):
        return ""


def _from_spaced(piece: str) -> str:
    """Letters with spaces between them; the words' borders are lost."""
    return "".join(piece.split())


def _from_escapes(piece: str) -> str:
    return re.sub(r"\\u(.{4})", lambda code: chr(int(code.group(1), 16)), piece)


_DECODERS: Mapping[str, Callable[[str], str]] = {
    "spaced": _from_spaced,
    "base64": _from_bytes,
    "escape": _from_escapes,
    "entity": html.unescape,
    "percent": lambda piece: unquote(piece, errors="replace"),
}
