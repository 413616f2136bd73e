"""From tokens to text that may be sent: whole characters, up to the first stop string."""

from __future__ import annotations

from collections.abc import Callable, Sequence

BROKEN = "\N{REPLACEMENT CHARACTER}"
"""What a tokenizer writes for bytes that are no character, or not yet."""


class Detokenizer:
    """Text as tokens come; a character whose bytes are not all there yet is held back.

    Each piece is decoded with the piece before it, since some tokenizers write a token otherwise
    at the beginning of a text.
    """

    def __init__(self, decode: Callable[[Sequence[int]], str]) -> None:
        self._decode = decode
        self._context: list[int] = []
        self._new: list[int] = []

    def feed(self, token: int) -> str:
        """The text that this token completes; empty while a character is not whole."""
        self._new.append(token)
        text = self._pending()
        if not text or text.endswith(BROKEN):
            return ""
        self._context, self._new = self._new, []
        return text

    def finish(self) -> str:
        """What is left, whole or not."""
        text = self._pending()
        self._context, self._new = self._new, []
        return text

    def _pending(self) -> str:
        before = self._decode(self._context)
        return self._decode([*self._context, *self._new])[len(before) :]


class StopStrings:
    """Text up to the first stop string; what may be the beginning of one is held back."""

    def __init__(self, stops: Sequence[str], *, include: bool = False) -> None:
        self._stops = tuple(stops)
        self._include = include
        self._held = ""
        self._immune = 0
        """Characters at the start of what is held in which no stop string may end."""
        self.found: str | None = None

    def feed(self, text: str, *, armed: bool = True) -> str:
        """The text that may be sent. `found` is set once a stop string is whole.

        Text that is fed while not `armed` ends nothing.
        """
        self._held += text
        if not armed:
            self._immune = len(self._held)
        if match := self._first_match():
            end, start, self.found = match
            sent, self._held = self._held[: end if self._include else start], ""
            return sent
        kept = self._may_become_a_stop()
        sent, self._held = (
            self._held[: len(self._held) - kept],
            self._held[len(self._held) - kept :],
        )
        self._immune = max(0, self._immune - len(sent))
        return sent

    def finish(self) -> str:
        """What was held back for a stop string that did not come."""
        sent, self._held = self._held, ""
        return sent

    def _first_match(self) -> tuple[int, int, str] | None:
        """End, start and name of the stop string that is whole first."""
        matches = []
        for stop in self._stops:
            start = self._held.find(stop, max(0, self._immune - len(stop) + 1))
            if start >= 0:
                matches.append((start + len(stop), start, stop))
        return min(matches, default=None)

    def _may_become_a_stop(self) -> int:
        """Length of the longest end of the text with which a stop string begins."""
        longest = max((len(stop) - 1 for stop in self._stops), default=0)
        for length in range(min(longest, len(self._held)), 0, -1):
            if any(stop.startswith(self._held[-length:]) for stop in self._stops):
                return length
        return 0
