"""A model that wants to write a given text, token by token, and notes what it is asked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor


@dataclass
class ScriptedModel:
    """After `prompt` tokens the likeliest next token is the next of `script`, over and over.

    A token's number is its character's place in `ALPHABET`, see `decode`.
    """

    script: Sequence[int]
    prompt: int
    vocabulary: int = 64
    read: list[tuple[int, ...]] = field(default_factory=list)
    """What each turn read."""
    adapters: list[str | None] = field(default_factory=list)

    def new_cache(self) -> list[int]:
        return []

    def logits(self, ids: Sequence[int], cache: Any, adapter: str | None, *, every: bool) -> Tensor:
        self.read.append(tuple(ids))
        self.adapters.append(adapter)
        rows = []
        for token in ids:
            cache.append(token)
            row_V = torch.zeros(self.vocabulary)
            row_V[self.script[(len(cache) - self.prompt) % len(self.script)]] = 10.0
            rows.append(row_V)
        return torch.stack(rows if every else rows[-1:])


ALPHABET = "abcdefghijklmnopqrstuvwxyz。，头痛" + "".join(map(chr, range(0x4E10, 0x4E32)))


def encode(text: str) -> list[int]:
    return [ALPHABET.index(character) for character in text]


def decode(ids: Sequence[int]) -> str:
    return "".join(ALPHABET[token] for token in ids)
