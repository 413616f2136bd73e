"""What this process judged before is told again at once, and only that."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from judge.rubrics.rubric import RubricRegistry
from judge.schemas import ItemError, ScoreItem, ScoreRequest, ScoreResult, TeacherVerdict
from judge.scoring.assessor import Judged
from judge.scoring.memory import Memory

EARLIER = [{"role": "user", "content": "发烧"}, {"role": "assistant", "content": "几天了？"}]
SHELF = RubricRegistry.load()
MEDICAL = SHELF.get("medical")
TEACHER = TeacherVerdict.model_validate({"safety": 1.0, "overall": 0.8, "why": "x"})
FAILED = ItemError(code="timeout", message="no verdict", retryable=True)


def asking(item_id: str = "a", **changes: object) -> ScoreRequest:
    """A request for one item; `changes` are fields of the request or of the item."""
    item = {"id": item_id, "prompt": "头痛", "response": "多休息"}
    request: dict[str, object] = {"rubric": "medical"}
    for name, value in changes.items():
        (item if name in ScoreItem.model_fields else request)[name] = value
    return ScoreRequest.model_validate({**request, "items": [item]})


def judged(**changes: object) -> Judged:
    result = ScoreResult(
        id="a", status="ok", reward=0.5, rules=None, teacher=TEACHER, provider="mock", cost=0.01
    )
    return Judged(result.model_copy(update=changes), "key")


def told(memory: Memory, request: ScoreRequest, rubric: str = "medical") -> Judged | None:
    (one,) = memory.recall(SHELF.get(rubric), request)
    return one


def test_the_same_question_is_told_again_as_a_hit_that_costs_nothing() -> None:
    """The reward is the same; the id is the asker's; nothing is paid twice."""
    memory = Memory()
    memory.keep(MEDICAL, asking(), [judged()])
    again = told(memory, asking("b"))
    expected = judged(id="b", cached=True, cost=0.0)
    assert again == expected


@pytest.mark.parametrize(
    "change",
    [
        {"prompt": "头痛 "},
        {"response": "多休息。"},
        {"reference": "休息"},
        {"criteria": [{"text": "多休息", "points": 1}]},
        {"prompt": None, "messages": [*EARLIER, {"role": "user", "content": "头痛"}]},
        {"sample": 1},
        {"teacher": "off"},
    ],
    ids=lambda change: next(iter(change)),
)
def test_whatever_can_change_a_judgement_is_another_question(change: dict[str, object]) -> None:
    """No text is normalised, no sample stands for another, rules alone are no teacher."""
    memory = Memory()
    memory.keep(MEDICAL, asking(), [judged()])
    assert told(memory, asking(**change)) is None


def test_another_rubric_is_another_question() -> None:
    """A reward under one rubric says nothing of another's."""
    memory = Memory()
    memory.keep(MEDICAL, asking(), [judged()])
    assert told(memory, asking(rubric="medical-safety"), "medical-safety") is None


def test_a_required_teacher_is_answered_by_an_optional_ones_verdict() -> None:
    """A judgement that came about is the same however much it was wanted."""
    memory = Memory()
    memory.keep(MEDICAL, asking(teacher="optional"), [judged()])
    assert told(memory, asking(teacher="required")) is not None


@pytest.mark.parametrize(
    "failure",
    [
        {"status": "failed", "reward": None, "teacher": None, "error": FAILED},
        {"status": "rules_only", "teacher": None, "error": FAILED},
    ],
    ids=["failed", "fell back"],
)
def test_a_failure_is_never_remembered(failure: dict[str, object]) -> None:
    """What went wrong once is asked for anew."""
    memory = Memory()
    memory.keep(MEDICAL, asking(), [judged(**failure)])
    assert told(memory, asking()) is None


def test_what_was_least_lately_asked_for_goes_first() -> None:
    """Memory is bounded, and being asked for keeps a judgement in it."""
    memory = Memory(size=2)
    for prompt in ("一", "二"):
        memory.keep(MEDICAL, asking(prompt=prompt), [judged()])
    told(memory, asking(prompt="一"))
    memory.keep(MEDICAL, asking(prompt="三"), [judged()])
    left = [prompt for prompt in ("一", "二", "三") if told(memory, asking(prompt=prompt))]
    assert left == ["一", "三"]


TEXTS = st.text(alphabet="a\x01\n ", min_size=1, max_size=4).filter(str.strip)


@given(one=st.tuples(TEXTS, TEXTS, TEXTS), other=st.tuples(TEXTS, TEXTS, TEXTS))
def test_texts_never_run_into_each_other(
    one: tuple[str, str, str], other: tuple[str, str, str]
) -> None:
    """Where one text ends and the next begins is part of the question."""
    names = ("prompt", "response", "reference")
    memory = Memory()
    memory.keep(MEDICAL, asking(**dict(zip(names, one, strict=True))), [judged()])
    again = told(memory, asking(**dict(zip(names, other, strict=True))))
    assert (again is not None) == (one == other)
