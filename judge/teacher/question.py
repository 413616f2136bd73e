"""A question for a teacher, and its key in the ledger."""

from __future__ import annotations

from dataclasses import dataclass

from galen import digest
from judge.rubrics.rubric import Rubric
from judge.rubrics.template import NO_BOUNDARY
from judge.teacher.form import form_of
from judge.teacher.panel import Panel
from judge.teacher.verdict import PARSER_VERSION, Client, Teacher
from judge.text.case import Case, CriterionCase, PairCase

KEY_VERSION = 1


def key_of(teacher: Teacher, rubric: Rubric, case: Case, sample: int = 0) -> str:
    """SHA-256 of everything that can change the verdict, and of nothing else.

    Weights, gate and clamp are not part of it: they are applied on reading. Nor is the boundary,
    which is random. `asked_sha256` covers the system message. The response counts byte for byte.
    """
    further = {
        "other": case.other if isinstance(case, PairCase) else "",
        "criterion": case.criterion if isinstance(case, CriterionCase) else "",
        "earlier": case.earlier,
        "panel": rubric.file.panel.combine if isinstance(teacher, Panel) else "",
    }
    return digest.of_json(
        {
            "version": KEY_VERSION,
            "parser": PARSER_VERSION,
            "teacher": teacher.identity(),
            "asked": rubric.asked_sha256,
            "user": rubric.template.messages(form_of(rubric, case).material, NO_BOUNDARY)[1],
            "prompt": case.prompt,
            "response": case.response,
            "reference": case.reference,
            "sample": sample,
            **{name: value for name, value in further.items() if value},
        }
    )


@dataclass(frozen=True, slots=True)
class Question:
    """One answer, one pair in one order, or one criterion of an answer, for a teacher to judge;
    `key` is from `key_of`."""

    key: str
    rubric: Rubric
    case: Case
    teacher: Teacher
    client: Client
    sample: int = 0
