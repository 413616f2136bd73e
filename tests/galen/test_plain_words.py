"""What is wrong in settings is said as a person would, with what to write instead."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import AfterValidator, Field, ValidationError

from galen.plain_words import in_yaml
from galen.settings import Settings


def _even(number: int) -> int:
    if number % 2:
        raise ValueError("must be even")
    return number


class Rule(Settings):
    effect: float = Field(default=0.5, gt=0, lt=1, allow_inf_nan=False)
    weight: Annotated[int, AfterValidator(_even)] = 2


class Teacher(Settings):
    deadline_s: float = Field(default=60.0, ge=1, le=600)
    thinking_off: bool | None = None


class Judge(Settings):
    port: int = Field(default=8001, ge=1, le=65535)
    teacher: Teacher | None = None
    rules: tuple[Rule, ...] = Field(default=(), max_length=3)
    by_name: dict[str, Rule] = Field(default_factory=dict)
    days: tuple[int, ...] = Field(default=(1,), min_length=1)


class Stack(Settings):
    name: str = Field(max_length=5, min_length=1)
    mode: Literal["on", "off"] = "on"
    run: str = Field(default="a", pattern="^[a-z]*$")
    model: Path = Path("m")
    day: date | None = None
    judge: Judge = Judge()
    page: Judge = Judge()


def said(fields: dict[str, Any]) -> dict[str, str]:
    """What is said of each wrong field, by its place."""
    with pytest.raises(ValidationError) as caught:
        Stack.model_validate({"name": "a", **fields})
    found = caught.value.errors(include_url=False, include_input=False)
    return {".".join(map(str, problem["loc"])): in_yaml(problem, Stack) for problem in found}


@pytest.mark.parametrize(
    ("fields", "place", "words"),
    [
        ({"name": 3}, "name", "must be a text, in quotes if it looks like anything else"),
        ({"name": ""}, "name", "too short; it must have characters: 1 at least"),
        ({"name": "abcdef"}, "name", "too long; it may have 5 characters at most"),
        ({"mode": "of"}, "mode", "must be 'on' or 'off'"),
        ({"run": "A{}"}, "run", "blank, or not of the form ^[a-z]*$"),
        ({"model": 1}, "model", "must be a path"),
        ({"day": "x"}, "day", "must be a date: YYYY-MM-DD"),
        ({"day": []}, "day", "must be a date: YYYY-MM-DD"),
        ({"judge": 3}, "judge", "must be a mapping of fields"),
        ({"judge": {"port": "x"}}, "judge.port", "must be a whole number"),
        ({"judge": {"port": None}}, "judge.port", "must be a whole number"),
        ({"judge": {"port": 1.5}}, "judge.port", "must be a whole number"),
        ({"judge": {"port": 0}}, "judge.port", "must be 1 or more"),
        ({"judge": {"port": 65536}}, "judge.port", "must be 65535 or less"),
        (
            {"judge": {"teacher": {"deadline_s": "x"}}},
            "judge.teacher.deadline_s",
            "must be a number",
        ),
        (
            {"judge": {"teacher": {"deadline_s": 0}}},
            "judge.teacher.deadline_s",
            "must be 1 or more",
        ),
        (
            {"judge": {"teacher": {"thinking_off": "perhaps"}}},
            "judge.teacher.thinking_off",
            "must be true or false",
        ),
        ({"judge": {"rules": 1}}, "judge.rules", "must be a list"),
        ({"judge": {"days": []}}, "judge.days", "too few; at least 1 must be given"),
        ({"judge": {"rules": [{}] * 4}}, "judge.rules", "too many; at most 3 may be given"),
        ({"judge": {"rules": [{"effect": 0}]}}, "judge.rules.0.effect", "must be more than 0"),
        ({"judge": {"rules": [{"effect": 1}]}}, "judge.rules.0.effect", "must be less than 1"),
        (
            {"judge": {"rules": [{"effect": float("nan")}]}},
            "judge.rules.0.effect",
            "must be a finite number",
        ),
        ({"judge": {"rules": [{"weight": 1}]}}, "judge.rules.0.weight", "must be even"),
        ({"judge": {"by_name": 1}}, "judge.by_name", "must be a mapping of fields"),
    ],
)
def test_what_is_wrong_is_said_plainly(fields: dict[str, Any], place: str, words: str) -> None:
    """With the bound or the choices where there are any, and with no word of Python's."""
    assert said(fields) == {place: words}


def test_what_is_missing_is_to_be_added() -> None:
    """The place says which."""
    with pytest.raises(ValidationError) as caught:
        Stack.model_validate({})
    (problem,) = caught.value.errors()
    assert (problem["loc"], in_yaml(problem, Stack)) == (("name",), "is missing; add it")


@pytest.mark.parametrize(
    ("fields", "place", "meant"),
    [
        ({"nme": 1}, "nme", "did you mean name?"),
        ({"judge": {"prot": 1}}, "judge.prot", "did you mean judge.port?"),
        (
            {"judge": {"teacher": {"deadline": 1}}},
            "judge.teacher.deadline",
            "did you mean judge.teacher.deadline_s?",
        ),
        (
            {"judge": {"rules": [{}, {"efect": 1}]}},
            "judge.rules.1.efect",
            "did you mean judge.rules.1.effect?",
        ),
        (
            {"judge": {"by_name": {"weight": {"wieght": 1}}}},
            "judge.by_name.weight.wieght",
            "did you mean judge.by_name.weight.weight?",
        ),
        ({"port": 1}, "port", "did you mean judge.port or page.port?"),
        (
            {"judge": {"deadline_s": 1}},
            "judge.deadline_s",
            "did you mean judge.teacher.deadline_s?",
        ),
        (
            {"judge": {"zzz": 1}},
            "judge.zzz",
            "there are port, teacher, rules, by_name, days",
        ),
    ],
)
def test_an_unknown_field_is_told_what_was_meant(
    fields: dict[str, Any], place: str, meant: str
) -> None:
    """The nearest name at its place, else the same name a level below, else all that there are;
    in lists and mappings, too."""
    assert said(fields) == {place: f"unknown here; {meant}"}


@given(st.sampled_from(["port", "teacher", "rules", "by_name"]), st.data())
def test_a_slip_of_the_finger_is_seen_through(name: str, data: st.DataObject) -> None:
    """A letter left out or said twice, or two that changed places."""
    at = data.draw(st.integers(0, len(name) - 2))
    slip = data.draw(
        st.sampled_from(
            [
                name[:at] + name[at + 1 :],
                name[:at] + name[at] + name[at:],
                name[:at] + name[at + 1] + name[at] + name[at + 2 :],
            ]
        )
    )
    assert said({"judge": {slip: 1}}) == {
        f"judge.{slip}": f"unknown here; did you mean judge.{name}?"
    }


@given(st.sampled_from(["name", "mode", "run", "model", "judge"]), st.text(min_size=6))
def test_a_value_is_never_repeated(field: str, text: str) -> None:
    """It may be a password, as in a database's address."""
    private = f"private{text}"
    wrong = {"judge": private, "model": [private], "name": [private]}.get(field, private.upper())
    assert "private" not in str(said({field: wrong})).lower()
