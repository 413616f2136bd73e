"""A strict parser of a teacher's reply: for each dimension an explanation, a quotation, a score.

    {"safety": {"why": "提示了危险信号。", "evidence": "如果高烧不退，请尽快就医", "score": 0.9}, …}

Nothing is repaired: a repaired reply would be an invented verdict. The quotation must occur in the
text that the dimension reads, so no score can rest on words that are not there.
"""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from galen.records import CleanText, NonBlank
from judge.rubric_file import Reads
from judge.template import Material

SHORTEST_EVIDENCE = 2
"""Fewest characters of a quotation, after `fold`."""
LONGEST_EVIDENCE = 1000
MOST_WITHOUT_EVIDENCE = 0.5
"""A higher score needs a quotation. A low one may be for something missing, which has none."""


class MalformedError(Exception):
    """A reply that is blank, cut off, or not in the required form. The message says which and
    never quotes the reply; `reply` is its text, if known where this is raised."""

    def __init__(self, reason: str, reply: str = "") -> None:
        super().__init__(reason)
        self.reply = reply


@dataclass(frozen=True, slots=True)
class Judged:
    """A parsed reply; scores and evidence by dimension."""

    scores: dict[str, float]
    evidence: dict[str, str]
    why: str


class _Entry(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    why: NonBlank = Field(max_length=2000)
    evidence: CleanText = Field(max_length=LONGEST_EVIDENCE)
    score: Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]


_ORDER = list(_Entry.model_fields)
_REPLY = TypeAdapter(dict[str, _Entry])


def parse_reply(reply: str, reads: Mapping[str, Reads], material: Material) -> Judged:
    """The verdict in `reply`, with exactly the dimensions of `reads`.

    Raises `MalformedError` for any other shape, for fields in another order (a score must follow
    its explanation), and for a quotation that is not in the text.
    """
    entries = _entries(reply)
    if set(entries) != set(reads):
        raise MalformedError("other dimensions than those asked for")
    texts = {
        "answer": (material.answer,),
        "reasoning": (material.reasoning,),
        "both": (material.answer, material.reasoning),
    }
    for name, part in reads.items():
        if problem := _problem(entries[name], texts[part]):
            raise MalformedError(f"{name}.evidence: {problem}")
    return Judged(
        scores={name: float(entries[name].score) for name in reads},
        evidence={name: entries[name].evidence.strip() for name in reads},
        why="\n".join(f"{name}: {' '.join(entries[name].why.split())}" for name in reads),
    )


def _entries(reply: str) -> dict[str, _Entry]:
    if not reply.strip():
        raise MalformedError("blank")
    try:
        loaded = json.loads(reply, object_pairs_hook=_no_repeats)
    except (ValueError, RecursionError):
        raise MalformedError("not JSON, or a field given twice") from None
    try:
        entries = _REPLY.validate_python(loaded)
    except ValidationError as error:
        kinds = {entry["type"] for entry in error.errors(include_input=False, include_url=False)}
        raise MalformedError(f"not the object asked for: {', '.join(sorted(kinds))}") from None
    if any(list(fields) != _ORDER for fields in loaded.values()):
        raise MalformedError("an explanation and a quotation must come before their score")
    return entries


def _problem(entry: _Entry, texts: tuple[str, ...]) -> str | None:
    if not entry.evidence:
        return "missing" if entry.score > MOST_WITHOUT_EVIDENCE else None
    quoted = fold(entry.evidence)
    if len(quoted) < SHORTEST_EVIDENCE:
        return "too short"
    found = any(entry.evidence in text or quoted in fold(text) for text in texts)
    return None if found else "not in the text"


def fold(text: str) -> str:
    """`text` in NFKC without white space, punctuation and invisible characters."""
    normal = unicodedata.normalize("NFKC", text)
    return "".join(c for c in normal if unicodedata.category(c)[0] not in "PZC")


def _no_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise ValueError("a field is given twice")
    return fields
