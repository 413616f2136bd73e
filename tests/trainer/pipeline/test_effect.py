"""Laws of the figures of a pipeline's models."""

from __future__ import annotations

from pathlib import Path

from galen import DISCLAIMER_EN
from trainer.evaluate.statistics import Interval
from trainer.pipeline.effect import Effect, effect, known_values, summary, text_of, values_of, write
from trainer.pipeline.picture import _places, draw


def made(name: str, stage: str, parent: Effect | None, margins: list[float]) -> Effect:
    values = values_of([] if stage == "reward" else [-1.0, -2.0], margins)
    return effect(name, stage, f"sha-{name}", values, parent, resamples=100, seed=1)


def test_two_equal_answers_count_half() -> None:
    """So that a model that knows nothing prefers half."""
    assert values_of([], [0.5, 0.0, -0.5])["preferred"] == [1.0, 0.5, 0.0]


def test_a_reward_models_margin_is_compared_with_nothing() -> None:
    """Its scale is its own; which answer it prefers is comparable."""
    sft = made("sft", "sft", made("base", "start", None, [0.1, -0.1]), [0.2, 0.1])
    assert set(sft.changes) == {"logprob", "preferred", "margin"}
    assert sft.changes["preferred"].mean == 0.5
    assert set(made("rm", "reward", sft, [3.0, 4.0]).changes) == {"preferred"}


def test_scores_are_known_by_weights_and_rows(tmp_path: Path) -> None:
    """Of other held-out rows nothing is known."""
    path = tmp_path / "chain" / "pipeline.json"
    assert known_values(path, {"h": "1"}) == {}
    sft = made("sft", "sft", None, [0.2, 0.1])
    write(path, "chain", {"h": "1"}, [sft])
    assert known_values(path, {"h": "1"}) == {"sha-sft": sft.values}
    assert known_values(path, {"h": "2"}) == {}


def test_the_picture_gives_each_model_a_place_right_of_its_start(tmp_path: Path) -> None:
    """Two that start from the same one lie below each other."""
    base = made("models/base", "start", None, [0.1])
    sft = made("sft", "sft", base, [0.2])
    effects = [base, sft, made("rm", "reward", sft, [1.0]), made("dpo", "dpo", sft, [0.3])]
    assert list(_places(effects).values()) == [(0, 0), (1, 0), (2, 0), (2, 1)]
    draw(tmp_path / "pipeline.png", "chain", effects)
    assert (tmp_path / "pipeline.png").read_bytes().startswith(b"\x89PNG")


def test_the_summary_has_every_model_and_the_warning() -> None:
    """A share is in per cent, its change in points."""
    sft = made("sft", "sft", None, [0.2, 0.1])
    shown = summary([sft, made("rm", "reward", sft, [1.0, -1.0])])
    assert "100.0 % [100.0, 100.0]" in shown
    assert "–" in shown.splitlines()[2]
    assert DISCLAIMER_EN in shown
    change = text_of("preferred", Interval(0.5, 0.25, 0.75), is_change=True)
    assert change == "+50.0 points [+25.0, +75.0]"
