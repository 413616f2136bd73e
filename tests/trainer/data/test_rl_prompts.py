"""Laws of RL prompts: the red team three times for real, severe rows first, shares that hold."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from galen.records import PromptRow
from trainer.data import rl_prompts
from trainer.data.example import Example, Message
from trainer.data.rl_prompts import SEVERE, Chooser, Chosen
from trainer.rl.rollout import Question
from trainer.rl.rollouts.questions import prompts_of_batch

META = {
    "source": "ours",
    "specialty": "全科",
    "complexity": 1,
    "lang_style": "口语",
    "is_deidentified": True,
}


def row(text: str, risk: str, answer: str = "", **meta: Any) -> Example:
    turns = [Message("user", text), *([Message("assistant", answer)] if answer else [])]
    return Example(tuple(turns), meta={**META, "risk_level": risk, **meta})


def chosen(count: int, red: int = 0, **rows: int) -> Chosen:
    chooser = Chooser(count)
    for risk, number in rows.items():
        for at in range(number):
            chooser.show(row(f"{risk} {at}", risk))
    return chooser.choose(
        [row(f"red {at}", "critical", safety_concern="x", category="y") for at in range(red)]
    )


def severe(found: Chosen) -> int:
    return sum(each["meta"]["risk_level"] in SEVERE for each in found.rows)


def test_ppo_draws_each_red_team_row_three_times_an_epoch() -> None:
    """The three copies are rows with ids of their own, and one epoch of PPO draws all of them."""
    found = chosen(60, red=5, critical=20, high=20, low=40)
    prompts = [PromptRow.model_validate(each) for each in found.rows]
    assert len({each.id for each in prompts}) == len(prompts) == 60
    questions = [Question(each, ()) for each in prompts]
    drawn = [q for at in range(15) for q in prompts_of_batch(questions, 4, at, seed=3)]
    times = Counter(each.row.input for each in drawn)
    assert {times[f"red {at}"] for at in range(5)} == {3}
    assert {count for text, count in times.items() if not text.startswith("red")} == {1}


def test_the_rest_is_three_fifths_severe() -> None:
    """Beside the red team, 60 % of the rows are critical or high and 40 % general."""
    found = chosen(115, red=5, critical=30, high=70, medium=40, low=90)
    assert found.by_strategy == {"red team": 15, "high risk": 60, "general": 40}
    assert found.by_risk["critical"] == 45
    assert found.shortage == ""


def test_a_red_team_that_leaves_no_room_is_told() -> None:
    """All its rows are kept, and nobody thinks that the input's own are among them."""
    found = chosen(20, red=10, low=50)
    assert found.by_strategy == {"red team": 30, "high risk": 0, "general": 0}
    assert found.shortage.startswith("the red team alone gives 30 rows of 20 asked for")


@given(*[st.integers(0, 12)] * 5)
@settings(max_examples=60, deadline=None)
def test_severe_rows_exceed_two_fifths_or_the_shortage_is_named(
    red: int, critical: int, high: int, low: int, count: int
) -> None:
    """Whatever the input holds, over 40 % are severe, or it is said that there is none."""
    found = chosen(count, red=red, critical=critical, high=high, low=low)
    assert found.by_risk.total() == len(found.rows) == found.by_strategy.total()
    if severe(found):
        assert severe(found) > rl_prompts.LEAST_SEVERE * len(found.rows)
    elif found.rows:
        assert "no critical and no high row" in found.shortage
    assert len(found.rows) >= count or found.shortage


def test_the_better_answer_comes_first_and_becomes_gold() -> None:
    """Of two severe rows the one with the better answer is taken, with that answer as gold."""
    thought = "<think>\n先排除心梗等危险情况，再问持续多久、有没有出汗。\n</think>\n\n"
    good = f"{thought}可能是心绞痛，建议立即拨打120去医院。"
    chooser = Chooser(2)
    chooser.show(row("胸痛", "critical", "喝水"))
    chooser.show(row("胸闷出汗", "critical", good + "不要自己开车，保持坐位休息，等待急救人员。"))
    (found, *_) = chooser.choose([]).rows
    assert found["input"] == "胸闷出汗"
    assert found["gold"].startswith(good)


def test_the_same_rows_give_the_same_choice_in_any_order() -> None:
    """What is chosen depends on the rows, not on the order in which they come."""
    rows = [row(f"q{at}", "high" if at % 2 else "low") for at in range(40)]
    choices = []
    for given_rows in (rows, rows[::-1]):
        chooser = Chooser(10)
        for each in given_rows:
            chooser.show(each)
        choices.append(chooser.choose([]).rows)
    assert choices[0] == choices[1]


def test_the_statistics_are_a_table_and_a_picture(tmp_path: Path) -> None:
    """Each strategy and risk level has its count and share; the picture is a PNG."""
    found = chosen(10, red=1, critical=5, low=5)
    table = {name: (count, share) for name, count, share in rl_prompts.table(found)}
    assert table["red team"] == ("3", "30.0%")
    assert table.keys() >= {"critical", "high", "medium", "low"}
    rl_prompts.draw(found, tmp_path / "a.png")
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")
