"""How each kind of question is put to a teacher: its texts, and the form of the reply."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

from judge.rubrics.rubric import Rubric
from judge.rubrics.template import CriterionMaterial, Material, PairMaterial, Texts
from judge.teacher import criterion_reply, pair_reply
from judge.teacher.profiles import reply_schema
from judge.teacher.reply import Judged, parse_reply
from judge.text.case import Case, CriterionCase, PairCase


class Form(Protocol):
    @property
    def material(self) -> Texts: ...

    @property
    def schema(self) -> dict[str, Any]:
        """The JSON schema of the reply, for endpoints that take one."""
        ...

    def read(self, reply: str) -> Judged:
        """Raises `MalformedError`."""
        ...


def form_of(rubric: Rubric, case: Case) -> Form:
    if isinstance(case, PairCase):
        return _PairForm(pair_material_of(case))
    if isinstance(case, CriterionCase):
        return _CriterionForm(
            CriterionMaterial(case.shown, case.answer, case.reference, case.criterion)
        )
    return _AnswerForm(rubric, material_of(case))


def material_of(case: Case) -> Material:
    return Material(
        question=case.shown,
        reasoning=case.transcript.reasoning,
        answer=case.answer,
        reference=case.reference,
    )


def pair_material_of(case: PairCase) -> PairMaterial:
    """Both answers without their thoughts, which a reader does not see."""
    return PairMaterial(case.shown, case.answer, case.second.answer, case.reference)


@dataclass(frozen=True, slots=True)
class _AnswerForm:
    rubric: Rubric
    material: Material

    @property
    def schema(self) -> dict[str, Any]:
        return reply_schema(self.rubric)

    def read(self, reply: str) -> Judged:
        return parse_reply(reply, self.rubric.reads, self.material, self.rubric.dangers)


@dataclass(frozen=True, slots=True)
class _PairForm:
    material: PairMaterial

    @property
    def schema(self) -> dict[str, Any]:
        return pair_reply.SCHEMA

    def read(self, reply: str) -> Judged:
        return pair_reply.parse_pair_reply(reply, self.material)


@dataclass(frozen=True, slots=True)
class _CriterionForm:
    material: CriterionMaterial

    @property
    def schema(self) -> dict[str, Any]:
        return criterion_reply.SCHEMA

    def read(self, reply: str) -> Judged:
        return criterion_reply.parse_criterion_reply(reply, self.material)
