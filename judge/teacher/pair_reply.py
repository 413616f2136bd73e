"""A strict parser of a teacher's reply about two answers.

{"why": "第二份没有检查就下了确定的诊断。", "evidence": "这百分之百就是心梗", "better": "first"}
"""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from galen.records import CleanText, NonBlank
from judge.rubrics.template import PairMaterial
from judge.teacher.reply import (
    LONGEST_EVIDENCE,
    LONGEST_WHY,
    QUOTATION,
    REASON,
    Judged,
    look_up,
    object_schema,
    read_object,
)

Better = Literal["first", "second", "same"]
FIRST = "first"
"""The verdict's only score: 1 if the first answer is better, 0 if the second is, else 0.5."""
SCORES: dict[Better, float] = {"first": 1.0, "second": 0.0, "same": 0.5}


class _Reply(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    why: NonBlank = Field(max_length=LONGEST_WHY)
    evidence: CleanText = Field(max_length=LONGEST_EVIDENCE)
    better: Better


SCHEMA = object_schema({"why": REASON, "evidence": QUOTATION, "better": {"enum": list(SCORES)}})


def parse_pair_reply(reply: str, material: PairMaterial) -> Judged:
    """The verdict in `reply`. Raises `MalformedError`.

    Whoever prefers an answer quotes one of the two; the judgement comes after its reason.
    """
    found = read_object(reply, _Reply)
    if found.evidence or found.better != "same":
        look_up("pair", found.evidence, (material.first, material.second))
    return Judged(
        scores={FIRST: SCORES[found.better]},
        evidence={FIRST: found.evidence.strip()},
        why=" ".join(found.why.split()),
    )
