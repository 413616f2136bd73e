"""The prompt: one pass, random boundaries, strict placeholders."""

from __future__ import annotations

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from galen.errors import RecipeError
from judge.rubrics import template
from judge.rubrics.rubric import Rubric, RubricRegistry
from judge.rubrics.template import (
    NO_BOUNDARY,
    USER_LINE,
    CriterionMaterial,
    Material,
    Template,
    draw_boundary,
)
from judge.teacher.criterion_reply import MET, parse_criterion_reply
from judge.teacher.reply import parse_reply

GOOD = f"answer in json\n{USER_LINE}\n{{{{boundary}}}} {{{{question}}}} {{{{answer}}}}"

SHELF = RubricRegistry.load()
ASKING = [one for one in SHELF if one.asks_teacher and not one.grades_criteria]


def material(answer: str) -> Material:
    return Material(question="q", reasoning="", answer=answer, reference="")


@given(st.text(max_size=80), st.text(max_size=80))
def test_an_answer_is_put_in_as_it_is(question: str, answer: str) -> None:
    """Placeholders inside an answer stay text, and nothing of it is lost."""
    parsed = Template.parse(GOOD, "here")
    texts = Material(question=question, reasoning="", answer=answer, reference="")
    user = parsed.messages(texts, "B")[1]["content"]
    assert user == f"B {question} {answer}"


def test_a_placeholder_in_an_answer_is_not_filled() -> None:
    """An answer cannot make the judge repeat the question or the boundary."""
    parsed = Template.parse(GOOD, "here")
    user = parsed.messages(material("{{question}}{{boundary}}"), "B")[1]["content"]
    assert user == "B q {{question}}{{boundary}}"


def test_the_system_message_is_the_same_for_every_request() -> None:
    """Endpoints keep a common beginning in their cache, which is what makes judging cheap."""
    parsed = Template.parse(GOOD, "here")
    first = parsed.messages(material("a"), "1")[0]
    assert first == parsed.messages(material("b"), "2")[0]


def test_boundaries_differ_and_are_in_no_text() -> None:
    """An answer cannot know the number of its boundary."""
    drawn = {draw_boundary(material("x")) for _ in range(50)}
    assert len(drawn) == 50
    assert {len(boundary) for boundary in drawn} == {len(NO_BOUNDARY)}


def test_the_criteria_of_an_answer_share_its_boundary(monkeypatch: pytest.MonkeyPatch) -> None:
    """Their messages begin alike; another answer's, and another judge's, begin otherwise."""
    one, two = (CriterionMaterial("q", "a", "", criterion) for criterion in "xy")
    drawn = draw_boundary(one)
    assert drawn == draw_boundary(two)
    assert drawn != draw_boundary(CriterionMaterial("q", "b", "", "x"))
    monkeypatch.setattr(template, "_SECRET", b"another")
    assert drawn != draw_boundary(one)


@pytest.mark.parametrize("rubric", ASKING, ids=lambda rubric: rubric.name)
def test_the_shipped_prompts_ask_for_what_is_read(rubric: Rubric) -> None:
    """The example in a prompt is itself a reply that would be accepted, dimension for dimension."""
    example = re.search(r"^\{.*\}$", rubric.template.system, re.MULTILINE)
    assert example is not None
    entries = json.loads(example.group())
    dangers = entries.pop("dangers", {})
    told = [*entries.values(), *dangers.values()]
    quoted = "\n".join(entry["evidence"] for entry in told)
    texts = Material(question="", reasoning=quoted, answer=quoted, reference="")
    judged = parse_reply(example.group(), rubric.reads, texts, rubric.dangers)
    assert tuple(judged.scores) == tuple(entries) == rubric.dimensions
    assert tuple(dangers) == rubric.dangers


def test_the_shipped_prompt_for_criteria_asks_for_what_is_read() -> None:
    """Its example is a reply that would be accepted."""
    example = re.search(r"^\{.*\}$", SHELF.get("criteria").template.system, re.MULTILINE)
    assert example is not None
    texts = CriterionMaterial("", json.loads(example.group())["evidence"], "", "标准")
    assert parse_criterion_reply(example.group(), texts).scores == {MET: 1.0}


@pytest.mark.parametrize("rubric", ASKING, ids=lambda rubric: rubric.name)
def test_the_shipped_prompts_say_where_each_dimension_is_read(rubric: Rubric) -> None:
    """What counts as evidence is told before it is asked for."""
    lines = {
        match.group(1): match.group()
        for match in re.finditer(r"^- (\w+)（.*$", rubric.template.system, re.MULTILINE)
    }
    for name, part in rubric.reads.items():
        if part == "answer":
            assert "只看“回答”" in lines[name]
    assert set(rubric.dimensions) <= set(lines)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("json {{boundary}} {{question}} {{answer}}", "exactly one line"),
        (f"{GOOD}\n{USER_LINE}\n", "exactly one line"),
        (GOOD.replace("{{answer}}", ""), "lacks answer"),
        (GOOD.replace("{{answer}}", "{{answer}} {{secret}}"), "unknown placeholder"),
        (GOOD.replace("answer in json", "{{answer}} in json"), "belong below"),
        (GOOD.replace("json", "xml"), "must contain the word json"),
    ],
)
def test_a_prompt_that_cannot_work_is_refused(text: str, complaint: str) -> None:
    """The error names the file and what is amiss."""
    with pytest.raises(RecipeError, match=f"^here: .*{complaint}"):
        Template.parse(text, "here")
