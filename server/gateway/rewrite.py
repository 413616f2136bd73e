"""Rewrites an engine's answer, bytes in and bytes out.

- In every `model` field the policy version's public name replaces the engine's own name.
- In chat completions `reasoning` is repeated as `reasoning_content`, which older clients read.

No JSON is parsed, because this runs on every piece of every stream. Two properties of JSON make
that safe: inside a string a quote is escaped, so a bare quote after `{` or `,` opens a key; and
engines write JSON without spaces, on one line.
"""

from __future__ import annotations

import json
import re

from server.paths import CHAT

_REASONING = b'"reasoning":'
_MIRROR = b'"reasoning_content":'
_FIELD = re.compile(rb'"reasoning":(?<=[{,]"reasoning":)("(?:[^"\\]++|\\.)*+"|null)')
"""Begins with a literal, since a search for a literal is far quicker than a look-behind."""
_END_OF_EVENT = b"\n\n"


class Rewriter:
    """Rewrites one answer that arrives in pieces cut anywhere.

    `feed` keeps at most the unfinished event at the end of a piece, so a stream that breaks off
    ends in a whole event. `finish` gives the rest: all of an answer that is not streamed.
    `engine_name` is the engine's name for the version, `public_name` what clients read.
    """

    def __init__(self, engine_name: str, public_name: str, path: str) -> None:
        old, new = _field(engine_name), _field(public_name)
        self._replaced = [(b"," + old, b"," + new), (b"{" + old, b"{" + new)]
        self._mirrors = path == CHAT
        self._held = b""

    def feed(self, piece: bytes) -> bytes:
        if self._held:
            piece = self._held + piece
        end = piece.rfind(_END_OF_EVENT) + len(_END_OF_EVENT)
        if end < len(_END_OF_EVENT):
            self._held = piece
            return b""
        self._held = piece[end:]
        return self._rewritten(piece[:end])

    def finish(self) -> bytes:
        rest, self._held = self._held, b""
        return self._rewritten(rest)

    def _rewritten(self, lines: bytes) -> bytes:
        for old, new in self._replaced:
            lines = lines.replace(old, new)
        if self._mirrors and _REASONING in lines:
            return _mirrored(lines)
        return lines


def _mirrored(lines: bytes) -> bytes:
    """Each line with its reasoning under both names. A line that has both stays as it is."""
    if _MIRROR not in lines:
        return _FIELD.sub(_both, lines)
    return b"".join(
        line if _MIRROR in line else _FIELD.sub(_both, line)
        for line in lines.splitlines(keepends=True)
    )


def _both(field: re.Match[bytes]) -> bytes:
    return b"%b,%b%b" % (field[0], _MIRROR, field[1])


def _field(name: str) -> bytes:
    return f'"model":{json.dumps(name, ensure_ascii=False)}'.encode()
