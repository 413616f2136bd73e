"""The key: everything that can change a verdict, and nothing else."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from judge.rubrics.rubric import RubricRegistry
from judge.settings import TeacherSettings
from judge.teacher.mock_teacher import MockTeacher
from judge.teacher.openai_teacher import OpenAITeacher
from judge.teacher.prices import Prices
from judge.teacher.question import key_of
from judge.text.case import Case

SHELF = RubricRegistry.load()
CASE = Case("问题", "<think>\n想\n</think>\n\n回答", "参考")


def teacher(**changes: Any) -> OpenAITeacher:
    return OpenAITeacher(TeacherSettings(**changes), "a-key", Prices.load())


@pytest.mark.parametrize(
    "other",
    [
        dataclasses.replace(CASE, prompt="问题 "),
        dataclasses.replace(CASE, response="<think>\n想\n</think>\n\n回答 "),
        dataclasses.replace(CASE, response="<think>\n想 \n</think>\n\n回答"),
        dataclasses.replace(CASE, reference=""),
        dataclasses.replace(CASE, earlier=(("user", "发烧"), ("assistant", "几天了？"))),
    ],
)
def test_every_character_of_the_item_is_in_the_key(other: Case, rubrics: RubricRegistry) -> None:
    """White space is not normalised: tricks with it are attacks."""
    rubric = rubrics.get("medical")
    assert key_of(MockTeacher(), rubric, CASE) != key_of(MockTeacher(), rubric, other)


async def test_whatever_can_change_a_verdict_is_in_the_key(rubrics: RubricRegistry) -> None:
    """Endpoint, model, epoch, sampling and mock or not each make another key."""
    rubric = rubrics.get("medical")
    teachers = [
        teacher(),
        teacher(base_url="http://127.0.0.1:9/v1"),
        teacher(model="another"),
        teacher(epoch="2"),
        teacher(max_tokens=700),
        teacher(profile="vllm"),
    ]
    keys = {key_of(one, rubric, CASE) for one in [*teachers, MockTeacher()]}
    assert len(keys) == len(teachers) + 1
    for one in teachers:
        await one.aclose()


async def test_what_cannot_change_a_verdict_is_not_in_the_key(rubrics: RubricRegistry) -> None:
    """Keys, time limits and concurrency may change without paying again."""
    rubric = rubrics.get("medical")
    patient = OpenAITeacher(
        TeacherSettings(deadline_s=5.0, concurrency=2), "another-key", Prices.load()
    )
    plain = teacher()
    assert key_of(plain, rubric, CASE) == key_of(patient, rubric, CASE)
    await plain.aclose()
    await patient.aclose()


@given(st.text(max_size=30), st.text(max_size=30))
def test_a_key_is_the_same_every_time(prompt: str, response: str) -> None:
    """The random boundary of a request is not in its key."""
    rubric = SHELF.get("medical")
    case = Case(prompt, response)
    assert key_of(MockTeacher(), rubric, case) == key_of(MockTeacher(), rubric, case)
