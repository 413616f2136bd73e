"""`prompt.txt` and `pair.txt`: the teacher's prompts and their placeholders.

The answer under judgement is data. Placeholders are replaced in a single pass, so one inside the
answer stays text. The boundaries around it hold a random number, so the answer cannot close them.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from dataclasses import dataclass
from typing import Literal, Protocol

from galen.errors import RecipeError

USER_LINE = "--- user ---"
"""Separates the system message, which is the same for every request, from the user's."""
NO_BOUNDARY = "0" * 16
"""Replaces the boundary where a message is hashed, not sent."""

_PLACEHOLDER = re.compile(r"\{\{(\w+)\}\}")
Kind = Literal["answer", "pair", "criterion"]
_NEEDED: dict[Kind, frozenset[str]] = {
    "answer": frozenset({"boundary", "question", "answer"}),
    "pair": frozenset({"boundary", "question", "first", "second"}),
    "criterion": frozenset({"boundary", "question", "answer", "criterion"}),
}
_OPTIONAL: dict[Kind, frozenset[str]] = {
    "answer": frozenset({"reference", "reasoning"}),
    "pair": frozenset({"reference"}),
    "criterion": frozenset({"reference"}),
}
_NONE = "（无）"


class Texts(Protocol):
    """What is under judgement, by placeholder."""

    @property
    def texts(self) -> dict[str, str]: ...


@dataclass(frozen=True, slots=True)
class PairMaterial:
    """The texts of two answers to one question, in the order in which they are shown."""

    question: str
    first: str
    second: str
    reference: str

    @property
    def texts(self) -> dict[str, str]:
        return {
            "question": self.question,
            "first": self.first or _NONE,
            "second": self.second or _NONE,
            "reference": self.reference or _NONE,
        }


@dataclass(frozen=True, slots=True)
class CriterionMaterial:
    """The texts of one answer, and what it may or must not do."""

    question: str
    answer: str
    reference: str
    criterion: str

    @property
    def texts(self) -> dict[str, str]:
        return {
            "question": self.question,
            "answer": self.answer or _NONE,
            "reference": self.reference or _NONE,
            "criterion": self.criterion,
        }


@dataclass(frozen=True, slots=True)
class Material:
    """The texts of one answer."""

    question: str
    reasoning: str
    answer: str
    reference: str

    @property
    def texts(self) -> dict[str, str]:
        return {
            "question": self.question,
            "reasoning": self.reasoning or _NONE,
            "answer": self.answer,
            "reference": self.reference or _NONE,
        }


@dataclass(frozen=True, slots=True)
class Template:
    system: str
    user: str

    @classmethod
    def parse(cls, text: str, where: str, kind: Kind = "answer") -> Template:
        """Parse a prompt. Raises `RecipeError` for a missing part or a wrong placeholder."""
        system, line, user = text.partition(f"\n{USER_LINE}\n")
        if not line or f"\n{USER_LINE}\n" in user:
            raise RecipeError(f"{where}: needs exactly one line {USER_LINE!r}")
        if _PLACEHOLDER.search(system):
            raise RecipeError(f"{where}: placeholders belong below the line {USER_LINE!r}")
        found = set(_PLACEHOLDER.findall(user))
        if unknown := found - _NEEDED[kind] - _OPTIONAL[kind]:
            raise RecipeError(f"{where}: unknown placeholder(s) {', '.join(sorted(unknown))}")
        if lacking := _NEEDED[kind] - found:
            raise RecipeError(f"{where}: lacks {', '.join(sorted(lacking))}")
        if "json" not in text.lower():
            raise RecipeError(f"{where}: must contain the word json; endpoints require it")
        return cls(system.strip(), user.strip())

    def messages(self, material: Texts, boundary: str) -> list[dict[str, str]]:
        """The two chat messages with the placeholders filled."""
        texts = {**material.texts, "boundary": boundary}
        user = _PLACEHOLDER.sub(lambda match: texts[match.group(1)], self.user)
        return [{"role": "system", "content": self.system}, {"role": "user", "content": user}]


_SECRET = secrets.token_bytes(32)
"""Of this process."""


def draw_boundary(material: Texts) -> str:
    """Sixteen hexadecimal digits that nobody can guess, and that occur in none of the texts.

    They are random, but the same for all criteria of an answer: their messages then begin alike,
    and an endpoint's cache of prefixes serves all but the first.
    """
    shared = b""
    if isinstance(material, CriterionMaterial):
        shared = "\0".join((material.question, material.answer, material.reference)).encode()
    while True:
        shared = hashlib.blake2b(shared, digest_size=8, key=_SECRET).digest() if shared else b""
        boundary = shared.hex() or secrets.token_hex(8)
        if not any(boundary in text for text in material.texts.values()):
            return boundary
