"""Laws of the teacher that tags a question."""

from __future__ import annotations

import json

import pytest

from galen.errors import UpstreamFailed
from tests.fakes.teacher import FakeTeacher, Says
from trainer.data.distillation.teacher import Teacher
from trainer.data.tag import teacher

ANSWER = {"risk_level": "high", "specialty": "产科", "complexity": 2, "lang_style": "口语"}


def asked(fake: FakeTeacher) -> Teacher:
    return Teacher(fake.url, "m", None, deadline_s=5, connections=1)


async def test_the_teachers_fields_come_with_its_reason() -> None:
    """The answer's fields are returned, with model and reason; a fence around them does no harm."""
    async with FakeTeacher() as fake, asked(fake) as client:
        fake.enqueue(Says(f"```json\n{json.dumps({**ANSWER, 'why': '怀孕'})}\n```"))
        fields, why = await teacher.ask(client, "怀孕能吃药吗")
    assert fields == ANSWER
    assert why["risk_level"] == "the teacher fake-teacher-2026: 怀孕"
    assert json.dumps("怀孕能吃药吗", ensure_ascii=False) in str(fake.requests[0])


@pytest.mark.parametrize(
    "content", ["不知道", "{}", json.dumps({**ANSWER, "risk_level": "extreme"}), "{" * 3]
)
async def test_an_answer_of_another_form_is_no_meta(content: str) -> None:
    """A value that does not exist, or no JSON, is a failure of the teacher and never a guess."""
    async with FakeTeacher() as fake, asked(fake) as client:
        fake.enqueue(Says(content))
        with pytest.raises(UpstreamFailed, match="teacher"):
            await teacher.ask(client, "头痛")
