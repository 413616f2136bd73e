"""Laws of a plan: it counts what the stage would do."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from galen.errors import DataError
from trainer import plan, recipes
from trainer.data.example import Message
from trainer.data.tokens import encode
from trainer.model import load_tokenizer
from trainer.runs import Run
from trainer.train import train


def recipe_of(folder: Path, toy: Path, **changes: Any) -> Any:
    data = folder / "rows.jsonl"
    rows = [{"question": f"头痛第{i}天？", "answer": "就医"} for i in range(5)]
    data.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    fields = {"stage": "sft", "run": "r", "runs": folder / "runs", "model": toy, "train": [data]}
    return recipes.SftRecipe.model_validate({**fields, "batch_size": 2, "epochs": 2, **changes})


def test_rows_tokens_and_steps_are_the_runs(toy: Path, tmp_path: Path) -> None:
    """The run makes as many steps as the plan said; the example is the first row, in parts."""
    recipe = recipe_of(tmp_path, toy)
    found = plan.plan(recipe)
    assert (found.rows, found.dev_rows, found.steps) == (5, 0, 6)
    (first,) = encode(
        load_tokenizer(toy), [Message("user", "头痛第0天？"), Message("assistant", "就医")]
    )
    assert found.longest == len(first.input_ids)
    assert (found.tokens, found.learnt) == (5 * found.longest, 5 * sum(first.completion_mask))
    assert [learnt for _, learnt in found.example] == [False, True]
    assert "".join(text for text, _ in found.example).endswith("就医<|im_end|>")
    assert plan.seconds_a_step(recipe) is None
    train(recipe)
    assert (Run(recipe).manifest() or {})["steps"] == found.steps
    assert plan.seconds_a_step(recipe_of(tmp_path, toy, run="next")) is not None


def test_a_plan_refuses_what_the_stage_would_refuse(toy: Path, tmp_path: Path) -> None:
    """And leaves no folder behind."""
    recipe = recipe_of(tmp_path, toy, max_length=8)
    with pytest.raises(DataError, match="`max_length` is 8"):
        plan.plan(recipe)
    assert not recipe.runs.exists()


def test_memory_says_which_gpu_is_large_enough() -> None:
    """A tenth of it is left to the driver and to fragments."""
    sizes = {
        bytes_: plan.Plan(1, 0, 1, 1, 1, 1, bytes_, []).fits for bytes_ in (7.3e9, 7.4e9, 2e11)
    }
    assert sizes == {7.3e9: 8, 7.4e9: 12, 2e11: None}
