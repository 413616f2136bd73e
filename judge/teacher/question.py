"""A question for a teacher, and its key in the ledger."""

from __future__ import annotations

from dataclasses import dataclass

from galen import digest
from judge.rubrics.rubric import Rubric
from judge.rubrics.template import NO_BOUNDARY, Material
from judge.teacher.verdict import PARSER_VERSION, Client, Teacher
from judge.text.case import Case

KEY_VERSION = 1


def key_of(teacher: Teacher, rubric: Rubric, case: Case, sample: int = 0) -> str:
    """SHA-256 of everything that can change the verdict, and of nothing else.

    Weights, gate and clamp are not part of it: they are applied on reading. Nor is the boundary,
    which is random. `asked_sha256` covers the system message. The response counts byte for byte.
    """
    return digest.of_json(
        {
            "version": KEY_VERSION,
            "parser": PARSER_VERSION,
            "teacher": teacher.identity(),
            "asked": rubric.asked_sha256,
            "user": rubric.template.messages(material_of(case), NO_BOUNDARY)[1],
            "prompt": case.prompt,
            "response": case.response,
            "reference": case.reference,
            "sample": sample,
        }
    )


def material_of(case: Case) -> Material:
    return Material(
        question=case.prompt,
        reasoning=case.transcript.reasoning,
        answer=case.answer,
        reference=case.reference,
    )


@dataclass(frozen=True, slots=True)
class Question:
    """One answer for a teacher to judge; `key` is from `key_of`."""

    key: str
    rubric: Rubric
    case: Case
    teacher: Teacher
    client: Client
