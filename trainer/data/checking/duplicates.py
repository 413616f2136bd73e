"""Which texts came before, in 8 bytes each."""

from __future__ import annotations

import hashlib
from array import array

FULL = 2 / 3
"""Share of the table's places that may be taken."""


class ExactDuplicates:
    """A hash table of texts' 64-bit hashes. It holds 18 to 36 bytes a text.

    Of ten million different texts, two count as one with a probability of 3 in a million.
    """

    def __init__(self) -> None:
        self._count = 0
        self._make(1 << 10)

    def seen(self, key: int, text: str) -> int | None:
        """The key of the earlier text that this one repeats; None if it is new. Keys are 1 to
        2³² - 1."""
        digest = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest()
        hashed = int.from_bytes(digest)
        place = self._place(hashed)
        if self._keys[place]:
            return self._keys[place]
        self._hashes[place], self._keys[place] = hashed, key
        self._count += 1
        if self._count > FULL * len(self._keys):
            self._grow()
        return None

    def _place(self, hashed: int) -> int:
        """Where the hash stands, or would stand."""
        keys, hashes, mask = self._keys, self._hashes, len(self._keys) - 1
        place = hashed & mask
        while keys[place] and hashes[place] != hashed:
            place = (place + 1) & mask
        return place

    def _make(self, size: int) -> None:
        self._hashes, self._keys = array("Q", bytes(8 * size)), array("I", bytes(4 * size))

    def _grow(self) -> None:
        hashes, keys = self._hashes, self._keys
        self._make(2 * len(keys))
        for hashed, key in zip(hashes, keys, strict=True):
            if key:
                place = self._place(hashed)
                self._hashes[place], self._keys[place] = hashed, key
