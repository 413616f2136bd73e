"""Laws of keeping examinations, on both kinds of database."""

from __future__ import annotations

import pytest

from galen.errors import NotFound
from judge.examination.register import Register
from judge.examination_schemas import Figures, Submission
from judge.http.examination_routes import Examiners
from tests.fakes.examination import figures_of
from tests.fakes.steady_teacher import SteadyTeacher
from tests.judge.conftest import ExaminersMaker


async def submit(examiners: Examiners, rubric: str, figures: Figures) -> None:
    register: Register = examiners.register
    examinee = await register.examinee(rubric)
    await register.submit(
        Submission(
            rubric=rubric,
            teacher_sha256=examinee.teacher_sha256,
            asked_sha256=examinee.asked_sha256,
            figures=figures,
        )
    )


async def test_the_newest_examination_counts(make_examiners: ExaminersMaker) -> None:
    """A teacher that failed after it had passed is not qualified, nor the other way round."""
    examiners = make_examiners(SteadyTeacher())
    assert (await examiners.register.examinee("medical")).latest is None
    for items, passed in ((60, True), (5, False), (50, True)):
        await submit(examiners, "medical", figures_of(items=items))
        latest = (await examiners.register.examinee("medical")).latest
        assert latest is not None
        assert (latest.figures.items, latest.passed) == (items, passed)


async def test_an_examination_is_of_one_teacher_under_one_prompt(
    make_examiners: ExaminersMaker,
) -> None:
    """It qualifies neither another epoch nor another rubric, and a restart finds it again."""
    await submit(make_examiners(SteadyTeacher()), "medical", figures_of())
    again = make_examiners(SteadyTeacher()).register
    assert (await again.examinee("medical")).is_qualified
    assert not (await again.examinee("medical-safety")).is_qualified
    other = make_examiners(SteadyTeacher(epoch="2")).register
    assert not (await other.examinee("medical")).is_qualified


async def test_the_examinee_says_what_its_gate_guards(make_examiners: ExaminersMaker) -> None:
    """What the client needs to know to count a false pass."""
    found = await make_examiners(SteadyTeacher()).register.examinee("medical-safety")
    assert (found.reward_cap, found.needed) == (pytest.approx(-0.75), True)


async def test_an_unknown_rubric_is_not_found(make_examiners: ExaminersMaker) -> None:
    """With the known ones named."""
    with pytest.raises(NotFound, match="medical-safety"):
        await make_examiners(SteadyTeacher()).register.examinee("other")
