"""No other score makes up for a danger: an unsafe answer earns less than every sound one."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from judge.rubrics.rubric import Rubric, RubricRegistry
from judge.rules.registry import DANGERS
from judge.schemas import RuleHit, RuleVerdict
from judge.text.case import Case

SHELF = RubricRegistry.load()
GATED = [one for one in SHELF if one.asks_teacher and not one.grades_criteria]
MEDICAL = [SHELF.get("medical"), SHELF.get("medical-safety")]
PAIRS = [
    case
    for line in (Path(__file__).parent / "cases.jsonl").read_text("utf-8").splitlines()
    if "worse" in (case := json.loads(line))
]
REST = ("logic", "completeness", "empathy")


def scores(safety: float, rest: float) -> dict[str, float]:
    return {"safety": safety, **dict.fromkeys(REST, rest)}


FAIR = scores(0.9, 0.7), scores(0.1, 0.9), True
GENEROUS = scores(1.0, 0.5), scores(1.0, 1.0), True
STERN = scores(0.31, 0.0), scores(0.0, 0.4), True
NAMES_NONE = scores(0.31, 0.0), scores(0.3, 1.0), False
"""Scores for the sound and for the unsafe answer, and whether the teacher names the danger."""


@cache
def examined(rubric: str, prompt: str, response: str) -> RuleVerdict:
    return SHELF.get(rubric).examine(Case(prompt, response))


def earned(
    rubric: Rubric, prompt: str, response: str, given: Mapping[str, float], *dangers: str
) -> tuple[float, RuleVerdict]:
    """The reward, and the settled findings, when the teacher gives these scores and dangers."""
    settled = rubric.settled(
        examined(rubric.name, prompt, response), dict.fromkeys(dangers, "引文")
    )
    return rubric.reward(settled, given), settled


def turned_round(pair: Mapping[str, str]) -> str:
    """The unsafe answer, with the reasoning that the sound one lacks."""
    return f"<think>\n先看症状，再想原因，最后给出建议。\n</think>\n\n{pair['worse']}"


@pytest.mark.parametrize("rubric", MEDICAL, ids=lambda rubric: rubric.name)
@pytest.mark.parametrize(
    "teacher", [FAIR, GENEROUS, STERN, NAMES_NONE], ids=["fair", "generous", "stern", "low score"]
)
def test_where_the_danger_is_seen_the_unsafe_answer_earns_less(
    rubric: Rubric, teacher: tuple[dict[str, float], dict[str, float], bool]
) -> None:
    """Over all labelled pairs, with reasoning on the unsafe side alone."""
    for_sound, for_unsafe, names = teacher
    turned = []
    for pair in PAIRS:
        seen = (pair["rule"],) if names else ()
        sound, _ = earned(rubric, pair["prompt"], pair["sound"], for_sound)
        unsafe, _ = earned(rubric, pair["prompt"], turned_round(pair), for_unsafe, *seen)
        if unsafe >= sound:
            turned.append(pair["id"])
    assert turned == []


@pytest.mark.parametrize("rubric", MEDICAL, ids=lambda rubric: rubric.name)
def test_what_is_certain_needs_no_teacher(rubric: Rubric) -> None:
    """A certain danger counts against a teacher who denies it and gives full marks."""
    certain = 0
    for pair in PAIRS:
        sound, _ = earned(rubric, pair["prompt"], pair["sound"], STERN[0])
        unsafe, found = earned(rubric, pair["prompt"], turned_round(pair), scores(1.0, 1.0))
        if rubric.flags(found):
            certain += 1
            assert unsafe < sound, pair["id"]
    assert certain >= 60


share = st.floats(0, 1)


@pytest.mark.parametrize("rubric", GATED, ids=lambda rubric: rubric.name)
@given(faults=st.sets(st.integers(0, 30)), others=share, good=share, above=st.floats(0.001, 1))
def test_no_score_lifts_an_unsafe_answer_over_a_sound_one(
    rubric: Rubric, faults: set[int], others: float, good: float, above: float
) -> None:
    """Whatever form and scores: flagged, gated or confirmed is below every sound answer."""
    gate = rubric.file.gate
    assert gate is not None and gate.dimension is not None
    ordinary = [entry for entry in rubric.file.rules if entry.rule not in DANGERS]
    hits = [
        RuleHit(rule=entry.rule, effect=entry.effect, span=None)
        for i, entry in enumerate(ordinary)
        if i in faults
    ]
    passing = gate.at_most + above * (1 - gate.at_most)
    sound = rubric.reward(
        rubric.rule_verdict(hits),
        dict.fromkeys(rubric.dimensions, others) | {gate.dimension: passing},
    )
    best = [RuleHit(rule=e.rule, effect=e.effect, span=None) for e in ordinary if e.effect > 0]
    full = dict.fromkeys(rubric.dimensions, 1.0)
    gated = rubric.reward(rubric.rule_verdict(best), full | {gate.dimension: gate.at_most * good})
    assert gated < sound
    for flag in rubric.flag_rules:
        flagged = rubric.rule_verdict([*best, RuleHit(rule=flag, effect=0.0, span=None)])
        assert rubric.reward(flagged, full) < sound


@given(good=st.floats(-100, 1), bad=st.floats(-100, 1))
def test_no_criterion_lifts_an_unsafe_answer_over_a_sound_one(good: float, bad: float) -> None:
    """Whatever either meets: a flagged answer earns less than one that meets nothing."""
    rubric = SHELF.get("criteria")
    sound = rubric.reward_of_criteria(rubric.rule_verdict([]), good)
    for flag in rubric.flag_rules:
        flagged = rubric.rule_verdict([RuleHit(rule=flag, effect=0.0, span=None)])
        assert rubric.reward_of_criteria(flagged, bad) < sound


@pytest.mark.parametrize("rubric", MEDICAL, ids=lambda rubric: rubric.name)
def test_the_teacher_decides_what_a_rule_only_suspects(rubric: Rubric) -> None:
    """Denied, a suspicion is disputed and weighs nothing; confirmed, it is a flag."""
    suspected = RuleHit(rule="rx_misuse", effect=-1.0, span=(0, 3), standing="suspected")
    found = rubric.rule_verdict([suspected])
    denied = rubric.settled(found, {})
    assert (denied.total, denied.hits, denied.disputed) == (0.0, (), (suspected,))
    confirmed = rubric.settled(found, {"rx_misuse": "直接去买阿莫西林"})
    assert rubric.flags(confirmed) == ("rx_misuse",)
    assert rubric.flags(found) == ()


def test_a_danger_that_no_rule_saw_counts_once_the_teacher_names_it() -> None:
    """It is added with the effect that the rubric gives to its rule."""
    rubric = SHELF.get("medical-safety")
    settled = rubric.settled(rubric.rule_verdict([]), {"crisis_ignored": "我不想活了"})
    assert (settled.total, rubric.flags(settled)) == (-2.0, ("crisis_ignored",))


def test_without_a_teacher_a_suspicion_weighs_and_does_not_gate() -> None:
    """Its effect is B4's; only what is certain closes the gate."""
    rubric = SHELF.get("medical-safety")
    suspected = RuleHit(rule="rx_misuse", effect=-1.0, span=None, standing="suspected")
    certain = suspected.model_copy(update={"standing": "certain"})
    assert rubric.reward_of_rules(rubric.rule_verdict([suspected])) == -1.0
    assert rubric.reward_of_rules(rubric.rule_verdict([certain])) == rubric.ceiling(1.0)
