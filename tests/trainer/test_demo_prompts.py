"""Laws of the hand-written prompts in `data/demo`: their shape, their mix, their separation."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise
from pathlib import Path

import pytest

from galen.records import PromptRow, Row, read_jsonl
from galen.transcript import parse

DEMO = Path(__file__).parents[2] / "data" / "demo"
LEAST_ROWS = {"rl_prompts": 60, "held_out": 40, "red_team": 110, "look_alikes": 60}
CATEGORIES = {
    "emergency",
    "febrile_convulsion",
    "antibiotic",
    "antihypertensive",
    "sedative",
    "antidepressant",
    "pregnancy",
    "infant",
    "masked_chronic",
    "psychological_crisis",
}
"""The dangers that the red team must cover."""
SEVERE = {"high", "critical"}
ALIKE = 0.6
"""Jaccard index of character bigrams from which two questions count as the same one."""


def _rows(name: str) -> list[PromptRow]:
    return read_jsonl(DEMO / f"{name}.jsonl", PromptRow)


def _sft_inputs() -> list[str]:
    return [row.input for row in read_jsonl(DEMO / "sft.jsonl", Row)]


def _bigrams(text: str) -> set[str]:
    letters = [letter for letter in text if letter.isalnum()]
    return {a + b for a, b in pairwise(letters)}


def _jaccard(left: str, right: str) -> float:
    return _jaccard_of(_bigrams(left), _bigrams(right))


def _jaccard_of(a: set[str], b: set[str]) -> float:
    common = len(a & b)
    return common / (len(a) + len(b) - common)


def _alike(left: list[str], right: list[str]) -> list[tuple[str, str]]:
    """Pairs that count as the same; a text is not compared with itself."""
    bigrams = {text: _bigrams(text) for text in (*left, *right)}
    return [
        (a, b)
        for a in left
        for b in right
        if a != b and _jaccard_of(bigrams[a], bigrams[b]) >= ALIKE
    ]


@pytest.mark.parametrize("name", LEAST_ROWS)
def test_file_parses_and_has_enough_rows(name: str) -> None:
    """Every line is a valid prompt row, and a file holds at least the number of rows promised."""
    assert len(_rows(name)) >= LEAST_ROWS[name]


@pytest.mark.parametrize("name", LEAST_ROWS)
def test_rows_say_where_they_come_from(name: str) -> None:
    """Every row has an instruction and names itself as ours and free of personal data."""
    unclear = [
        row.id
        for row in _rows(name)
        if not row.instruction or row.meta.source != "galen-demo" or not row.meta.is_deidentified
    ]
    assert not unclear


def test_ids_and_inputs_are_unique_over_all_files() -> None:
    """No id and no question occurs twice, within a file or across files."""
    rows = [row for name in LEAST_ROWS for row in _rows(name)]
    ids = Counter(row.id for row in rows)
    inputs = Counter(row.input for row in rows)
    assert not [key for key, count in (ids + inputs).items() if count > 1]


def test_jaccard_tells_a_rewording_from_another_question() -> None:
    """The likeness measure is 1 for questions that differ in punctuation only, 0 for strangers."""
    assert _jaccard("胃痛怎么办？", "胃痛，怎么办") == 1.0
    assert _jaccard("胃痛怎么办？", "孩子发烧了") == 0.0


@pytest.mark.parametrize("name", ["rl_prompts", "red_team"])
def test_held_out_is_unlike_the_prompts_trained_on(name: str) -> None:
    """No held-out question is a near copy of one that RL may train on."""
    held_out = [row.input for row in _rows("held_out")]
    assert not _alike(held_out, [row.input for row in _rows(name)])


def test_held_out_is_unlike_the_supervised_rows() -> None:
    """No held-out question is a near copy of one that SFT trains on."""
    held_out = [row.input for row in _rows("held_out")]
    assert not _alike(held_out, _sft_inputs())


def test_red_team_and_look_alikes_are_unlike_each_other_and_all_that_is_trained_on() -> None:
    """No row of theirs is a near copy of another one, of a training or of a held-out question."""
    ours = [row.input for name in ("red_team", "look_alikes") for row in _rows(name)]
    others = [row.input for name in ("rl_prompts", "held_out") for row in _rows(name)]
    assert not _alike(ours, [*ours, *others, *_sft_inputs()])


@pytest.mark.parametrize("name", ["rl_prompts", "held_out"])
def test_severe_questions_are_over_two_fifths(name: str) -> None:
    """Over 40 % of the questions are of high or critical risk, and no level is absent."""
    risks = [row.meta.risk_level for row in _rows(name)]
    assert {"low", "medium", "high", "critical"} == set(risks)
    assert sum(risk in SEVERE for risk in risks) / len(risks) > 0.4


def test_red_team_covers_every_category_at_least_twice() -> None:
    """The red team knows exactly the named dangers, each with two rows or more."""
    counts = Counter(row.meta.category for row in _rows("red_team"))
    assert set(counts) == CATEGORIES
    assert min(counts.values()) >= 2


def test_red_team_rows_are_severe_and_say_what_is_at_stake() -> None:
    """Every red-team row is of high or critical risk and tells what a bad answer would do."""
    weak = [
        row.id
        for row in _rows("red_team")
        if row.meta.risk_level not in SEVERE or not row.meta.safety_concern
    ]
    assert not weak


def test_look_alikes_are_harmless() -> None:
    """Every look-alike is marked as one, of low risk, with no danger named."""
    wrong = [
        row.id
        for row in _rows("look_alikes")
        if row.meta.category != "look_alike"
        or row.meta.risk_level != "low"
        or row.meta.safety_concern is not None
    ]
    assert not wrong


@pytest.mark.parametrize("name", ["red_team", "look_alikes"])
def test_gold_is_reasoning_and_a_hedged_answer(name: str) -> None:
    """Every gold is written as a policy is taught to write, and ends by saying 仅供参考."""
    faulty = []
    for row in _rows(name):
        gold = parse(row.gold or "")
        whole = gold.closed and gold.reasoning and gold.answer.endswith("仅供参考。")
        if not whole or gold.render() != row.gold:
            faulty.append(row.id)
    assert not faulty
