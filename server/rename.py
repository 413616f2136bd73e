"""Puts the policy version's name where the engine wrote its own, without reading JSON.

The engine writes `"model":"<its name>"`. Inside a JSON string a quote is always escaped, so those
bytes can only be a field; and the engine's names are not to be guessed, so no field of a caller's
says them. Every occurrence is replaced.
"""

from __future__ import annotations

import json


class ModelRenamer:
    """Renames a byte stream that arrives in pieces cut anywhere.

    `feed` holds back at most the bytes that may be the beginning of a field; a whole line or event
    is never held back, since the field holds no line break. `finish` gives what is left.
    """

    def __init__(self, engine_name: str, public_name: str) -> None:
        self._old = _field(engine_name)
        self._new = _field(public_name)
        self._held = b""

    def feed(self, piece: bytes) -> bytes:
        renamed = (self._held + piece).replace(self._old, self._new)
        cut = len(renamed) - self._begun(renamed)
        self._held = renamed[cut:]
        return renamed[:cut]

    def finish(self) -> bytes:
        held, self._held = self._held, b""
        return held

    def _begun(self, text: bytes) -> int:
        """Length of the longest beginning of the field that `text` ends with."""
        longest = min(len(self._old) - 1, len(text))
        return next((n for n in range(longest, 0, -1) if text.endswith(self._old[:n])), 0)


def _field(name: str) -> bytes:
    return f'"model":{json.dumps(name)}'.encode()
