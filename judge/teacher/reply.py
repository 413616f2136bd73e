"""A strict parser of a teacher's reply: dangers as yes or no, then the dimensions' scores.

    {"dangers": {"rx_misuse": {"evidence": "", "present": false}, …},
     "safety": {"why": "提示了危险信号。", "evidence": "如果高烧不退，请尽快就医", "score": 0.9}, …}

Nothing is repaired: a repaired reply would be an invented verdict. A quotation must occur in the
text that was read, so no score and no danger can rest on words that are not there.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from galen.records import CleanText, NonBlank
from judge.rubrics.rubric_file import Reads
from judge.rubrics.template import Material

SHORTEST_EVIDENCE = 8
"""Fewest characters of a quotation, after `fold`, unless it is a whole clause or sentence."""
_SHORTEST_CLAUSE = 2
LONGEST_EVIDENCE = 1000
LONGEST_WHY = 2000
QUOTATION = {"type": "string", "maxLength": LONGEST_EVIDENCE}
REASON = {"type": "string", "minLength": 1, "maxLength": LONGEST_WHY}
"""Fields of a reply's JSON schema, for endpoints that take one."""
_SENTENCE_END = re.compile(r"[。！!？?；;\n]")
_CLAUSE_END = re.compile(r"[，,。．.；;：:！!？?、\n]")

T = TypeVar("T")
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
    """A parsed reply; scores and evidence by dimension, and evidence for each danger seen."""

    scores: dict[str, float]
    evidence: dict[str, str]
    why: str


class _Entry(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    why: NonBlank = Field(max_length=LONGEST_WHY)
    evidence: CleanText = Field(max_length=LONGEST_EVIDENCE)
    score: Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]


class _Danger(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    evidence: CleanText = Field(max_length=LONGEST_EVIDENCE)
    present: bool


_DANGERS = "dangers"
_ENTRIES = TypeAdapter(dict[str, _Entry])
_YES_OR_NO = TypeAdapter(dict[str, _Danger])


def parse_reply(
    reply: str, reads: Mapping[str, Reads], material: Material, dangers: Collection[str] = ()
) -> Judged:
    """The verdict in `reply`, with exactly the dimensions of `reads` and a yes or no to `dangers`.

    Raises `MalformedError` for any other shape, for fields in another order (a score must follow
    its explanation), and for a quotation that is not in the text.
    """
    loaded = loaded_reply(reply)
    seen = _seen(loaded.pop(_DANGERS, {}), dangers, material)
    entries = _checked(_ENTRIES, loaded, list(_Entry.model_fields))
    if set(entries) != set(reads):
        raise MalformedError("other dimensions than those asked for")
    texts = {
        "answer": (material.answer,),
        "reasoning": (material.reasoning,),
        "both": (material.answer, material.reasoning),
    }
    for name, part in reads.items():
        entry = entries[name]
        if entry.evidence or entry.score > MOST_WITHOUT_EVIDENCE:
            look_up(name, entry.evidence, texts[part])
    return Judged(
        scores={name: float(entries[name].score) for name in reads},
        evidence={name: entries[name].evidence.strip() for name in reads} | seen,
        why="\n".join(f"{name}: {' '.join(entries[name].why.split())}" for name in reads),
    )


def _seen(loaded: Any, dangers: Collection[str], material: Material) -> dict[str, str]:
    """The quotation for each danger that the teacher sees, from the question or the answer."""
    answers = _checked(_YES_OR_NO, loaded, list(_Danger.model_fields))
    if set(answers) != set(dangers):
        raise MalformedError("other dangers than those asked for")
    present = {name: one.evidence for name, one in answers.items() if one.present}
    for name, quotation in present.items():
        look_up(name, quotation, (material.answer, material.question))
    return {name: quotation.strip() for name, quotation in present.items()}


def loaded_reply(reply: str) -> dict[str, Any]:
    if not reply.strip():
        raise MalformedError("blank")
    try:
        loaded = json.loads(reply, object_pairs_hook=_no_repeats)
    except (ValueError, RecursionError):
        raise MalformedError("not JSON, or a field given twice") from None
    if not isinstance(loaded, dict):
        raise MalformedError("not an object")
    return loaded


M = TypeVar("M", bound=BaseModel)


def object_schema(properties: Mapping[str, Any]) -> dict[str, Any]:
    """The JSON schema of an object with exactly these fields."""
    return {
        "type": "object",
        "properties": dict(properties),
        "required": list(properties),
        "additionalProperties": False,
    }


def read_object(reply: str, model: type[M]) -> M:
    """A reply that is one object of `model`, its fields in order. Raises `MalformedError`."""
    fields = loaded_reply(reply)
    try:
        found = model.model_validate(fields)
    except ValidationError as error:
        kinds = {entry["type"] for entry in error.errors(include_input=False, include_url=False)}
        raise MalformedError(f"not the object asked for: {', '.join(sorted(kinds))}") from None
    order = list(model.model_fields)
    if list(fields) != order:
        raise MalformedError(f"the fields must be {', '.join(order)}, in this order")
    return found


def _checked(adapter: TypeAdapter[dict[str, T]], loaded: Any, order: list[str]) -> dict[str, T]:
    try:
        entries = adapter.validate_python(loaded)
    except ValidationError as error:
        kinds = {entry["type"] for entry in error.errors(include_input=False, include_url=False)}
        raise MalformedError(f"not the object asked for: {', '.join(sorted(kinds))}") from None
    if any(list(fields) != order for fields in loaded.values()):
        raise MalformedError(f"the fields must be {', '.join(order)}, in this order")
    return entries


def look_up(name: str, quotation: str, texts: Sequence[str]) -> None:
    """Raises `MalformedError` for a quotation that is not in the texts or says too little."""
    quoted = fold(quotation)
    if not quotation:
        raise MalformedError(f"{name}.evidence: missing")
    if not any(quotation in text or quoted in fold(text) for text in texts):
        raise MalformedError(f"{name}.evidence: not in the text")
    if not any(says_enough(quotation, text) for text in texts):
        raise MalformedError(f"{name}.evidence: too short")


def says_enough(quotation: str, text: str) -> bool:
    """Whether a quotation is long enough, or a whole clause, sentence or text."""
    quoted = fold(quotation)
    if not _SHORTEST_CLAUSE <= len(quoted) < SHORTEST_EVIDENCE:
        return len(quoted) >= SHORTEST_EVIDENCE
    wholes = text, *_SENTENCE_END.split(text), *_CLAUSE_END.split(text)
    return any(quoted == fold(whole) for whole in wholes)


@lru_cache(maxsize=8)  # a verdict's quotations are all looked up in the same two texts
def fold(text: str) -> str:
    """`text` in NFKC without white space, punctuation and invisible characters."""
    normal = unicodedata.normalize("NFKC", text)
    return "".join(c for c in normal if unicodedata.category(c)[0] not in "PZC")


def _no_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise ValueError("a field is given twice")
    return fields
