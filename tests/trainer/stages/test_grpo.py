"""Laws of the GRPO stage as a whole, on a toy policy before both fake services."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from galen import digest
from tests.fakes.loop_services import LoopJudge, LoopPolicyServer
from tests.fakes.rollouts import row_of, verdict
from tests.fakes.rows import write_jsonl
from trainer.recipes import GrpoRecipe
from trainer.runs import Run, is_finished
from trainer.stages import grpo


@pytest.fixture
def stage(toy: Path, tmp_path: Path) -> Iterator[tuple[GrpoRecipe, LoopJudge]]:
    prompts = tmp_path / "prompts.jsonl"
    write_jsonl(prompts, [row_of(f"q{i}", f"头痛第{i}天怎么办？") for i in range(3)])
    with LoopPolicyServer(digest.of_folder(toy)) as server, LoopJudge() as judge:
        recipe = GrpoRecipe.model_validate(
            {
                **{"stage": "grpo", "run": "r", "runs": tmp_path / "runs", "model": toy},
                **{"prompts": (prompts,), "lora": None, "publish": "merged", "batches": 2},
                **{"batch_size": 6, "generations": 2, "mini_batch_size": 3, "max_new_tokens": 8},
                "services": {"server": server.url, "judge": judge.url, "drift_every": 0},
            }
        )
        yield recipe, judge


def test_a_run_goes_to_its_end(stage: tuple[GrpoRecipe, LoopJudge]) -> None:
    """Each prompt is asked `generations` times; groups without spread and failures are counted, and
    every completion that was asked for is accounted for."""
    recipe, judge = stage
    judge.enqueue("00001-0000", verdict(0.9))
    judge.enqueue("00001-0002", verdict(None))
    grpo.train(recipe)
    assert is_finished(recipe)
    rows = [json.loads(line) for line in Run(recipe).metrics.read_text("utf-8").splitlines()]
    first = rows[0]
    asked = {name: first[name] for name in ("expected", "judged", "failed", "cut_off", "foreign")}
    assert asked == {"expected": 6, "judged": 5, "failed": 1, "cut_off": 0, "foreign": 0}
    assert first["flat_groups"] == 0.5  # of two whole groups
    assert [row["flat_groups"] for row in rows[1:]] == [1.0]
    completions = Run(recipe).folder / "completions" / "batch-00001.jsonl"
    prompts = [json.loads(line)["prompt"] for line in completions.read_text("utf-8").splitlines()]
    assert prompts[::2] == prompts[1::2]
    assert len(set(prompts)) == 3
