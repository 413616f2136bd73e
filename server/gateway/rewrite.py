"""What is changed in an engine's answer on its way out, bytes in and bytes out.

- The policy version's public name takes the place of the engine's own in every `model`.
- In chat completions `reasoning` is repeated as `reasoning_content`, which older clients read.
- An error amid a stream gets the names that the client's API has for it.

No JSON is parsed: this runs on every piece of every stream. It rests on what JSON is. Inside a
string a quote is escaped, so a bare quote that follows `{` or `,` and begins a name opens a key.
Engines write JSON without spaces, on one line.
"""

from __future__ import annotations

import functools
import json
import re

from server.gateway.dialects import messages_event, refusal_event
from server.paths import CHAT, MESSAGES

_REASONING = b'"reasoning":'
_MIRROR = b'"reasoning_content":'
_FIELD = re.compile(rb'"reasoning":(?<=[{,]"reasoning":)("(?:[^"\\]++|\\.)*+"|null)')
"""It begins with a literal, which is found far quicker than what may stand before it."""
_END_OF_EVENT = b"\n\n"
_REFUSED = b'data: {"error":'
_FAILED = b'data: {"type":"error","error":{"type":"internal_error"'
"""How an error begins in a stream; the second in one of `/v1/messages`."""


class Rewriter:
    """Rewrites one answer that arrives in pieces cut anywhere.

    `feed` holds back at most the event that the piece leaves unfinished, so that a stream which
    breaks off ends in a whole one. `finish` gives what is left, which of an answer that is no
    stream is all of it. `engine_name` is the engine's name for the version, `public_name` the one
    that a client reads, `path` the route that was asked. `constrained` if the answer has to fit a
    schema or a grammar, which may be why it fails.
    """

    def __init__(
        self, engine_name: str, public_name: str, path: str, *, constrained: bool = False
    ) -> None:
        old, new = _field(engine_name), _field(public_name)
        self._replaced = [(b"," + old, b"," + new), (b"{" + old, b"{" + new)]
        self._error = _FAILED if path == MESSAGES else _REFUSED
        event = messages_event if path == MESSAGES else refusal_event
        self._event = functools.partial(event, constrained=constrained)
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
        if self._error in lines:
            lines = b"\n".join(self._reworded(line) for line in lines.split(b"\n"))
        if self._mirrors and _REASONING in lines:
            return _mirrored(lines)
        return lines

    def _reworded(self, line: bytes) -> bytes:
        if not line.startswith(self._error):
            return line
        return b"data: " + self._event(line.removeprefix(b"data: "))


def _mirrored(lines: bytes) -> bytes:
    """Lines with their reasoning under both names; one that has both already stays as it is."""
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
