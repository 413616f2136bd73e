"""A strict parser of a teacher's reply about one criterion.

{"why": "明确要求马上去急诊。", "evidence": "请立刻拨打急救电话", "met": true}
"""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from galen.records import CleanText, NonBlank
from judge.rubrics.template import CriterionMaterial
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

MET = "met"
"""The verdict's only score: 1 if the criterion is met, else 0."""


class _Reply(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    why: NonBlank = Field(max_length=LONGEST_WHY)
    evidence: CleanText = Field(max_length=LONGEST_EVIDENCE)
    met: bool


SCHEMA = object_schema({"why": REASON, "evidence": QUOTATION, "met": {"type": "boolean"}})


def parse_criterion_reply(reply: str, material: CriterionMaterial) -> Judged:
    """The verdict in `reply`. Raises `MalformedError`.

    A quotation is looked up. None is needed: what an answer does not say cannot be quoted.
    """
    found = read_object(reply, _Reply)
    if found.evidence:
        look_up(MET, found.evidence, (material.answer,))
    return Judged(
        scores={MET: float(found.met)},
        evidence={MET: found.evidence.strip()},
        why=" ".join(found.why.split()),
    )
