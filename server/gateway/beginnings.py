"""Tells from a stream when an engine works at all of the request, so that it will end it before it
takes other weights.

Until then part of the request may still wait in the engine, and would be written by the weights
that come next. Afterwards nobody has to wait for a client that reads slowly.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

RESPONSES = "/v1/responses"
_DATA = b"data: {"


class Beginnings:
    """`sequences` is how many completions the stream is of, `path` the route that was asked."""

    def __init__(self, path: str, sequences: int) -> None:
        self._announced = path == RESPONSES
        self._is_one = sequences == 1
        self._missing = set(range(sequences))

    def saw(self, events: bytes) -> bool:
        """Whether everything has begun. `events` are whole, and follow those seen before."""
        if not self._missing or not events:
            return not self._missing
        if self._announced:
            # A response is announced by several events before its first token.
            if b".delta" in events or b'"response.completed"' in events:
                self._missing.clear()
        elif self._is_one:
            self._missing.clear()
        else:
            self._missing.difference_update(_begun(events))
        return not self._missing


def _begun(events: bytes) -> Iterator[int]:
    """Numbers of the choices of which the events hold a token.

    In chats the roles of all choices are told when the first of them begins.
    """
    for line in events.split(b"\n"):
        if line.startswith(_DATA):
            for choice in json.loads(line[len(_DATA) - 1 :]).get("choices", ()):
                if _holds_token(choice):
                    yield choice["index"]


def _holds_token(choice: dict[str, Any]) -> bool:
    delta = choice.get("delta") or {}
    written = [choice.get("text"), choice.get("finish_reason")]
    return any(written) or any(said for name, said in delta.items() if name != "role")
