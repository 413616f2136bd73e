"""Laws of refusing a teacher that has not been examined."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from galen.errors import Conflict, Unavailable
from tests.fakes.examination import examinee_of, figures_of
from tests.fakes.loop_services import LoopJudge
from trainer.recipes import Services
from trainer.rl.qualified import require_qualified


@pytest.fixture
def judge() -> Iterator[LoopJudge]:
    with LoopJudge() as judge:
        yield judge


def test_a_qualified_teacher_is_taken_without_a_word(judge: LoopJudge) -> None:
    """The judge is asked about the recipe's own rubric."""
    assert require_qualified(Services(judge=judge.url, rubric="medical")) is None
    assert [r.path for r in judge.requests] == ["/v1/qualifications?rubric=medical"]


def test_an_unexamined_teacher_is_refused_with_the_command_to_run(judge: LoopJudge) -> None:
    """The message can be pasted, and names the field that would allow it."""
    judge.examinee = examinee_of(None)
    with pytest.raises(Conflict) as refusal:
        require_qualified(Services(judge=judge.url))
    message = refusal.value.message
    assert "has not been examined under medical-safety" in message
    assert (
        f"galen judge qualify data/judge/labels.jsonl --rubric medical-safety --judge {judge.url}"
        in message
    )
    assert "allow_unqualified: true" in message


def test_a_teacher_that_failed_is_refused_with_what_it_lacks(judge: LoopJudge) -> None:
    """Having been examined is not having passed."""
    judge.examinee = examinee_of(figures_of(items=5))
    with pytest.raises(Conflict, match=r"has not passed .*5 labelled answers were judged"):
        require_qualified(Services(judge=judge.url))


def test_a_recipe_may_allow_it_and_then_the_log_says_so(judge: LoopJudge) -> None:
    """Nothing is refused, and the sentence for the log comes back."""
    judge.examinee = examinee_of(None, provider="mock")
    note = require_qualified(Services(judge=judge.url, allow_unqualified=True))
    assert note is not None
    assert "(mock) has not been examined" in note
    assert "allows it" in note


def test_a_rubric_that_asks_no_teacher_needs_no_examination(judge: LoopJudge) -> None:
    """Rules are held by their own tests."""
    judge.examinee = examinee_of(None, needed=False)
    assert require_qualified(Services(judge=judge.url)) is None


def test_a_judge_that_is_not_up_is_said_to_be_so() -> None:
    """Nothing is trained on the hope that it will pass."""
    with pytest.raises(Unavailable, match="cannot reach"):
        require_qualified(Services(judge="http://127.0.0.1:9", allow_unqualified=True))
