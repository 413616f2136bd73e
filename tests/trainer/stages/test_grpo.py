"""Laws of the GRPO stage as a whole, on a toy policy before both fake services."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from galen import digest
from galen.errors import Conflict
from tests.fakes.loop_services import LoopJudge, LoopPolicyServer
from tests.fakes.rollouts import row_of, verdict
from tests.fakes.rows import write_jsonl
from trainer.recipes import GrpoRecipe
from trainer.rl.best import BestVersion
from trainer.runs import Run, is_finished
from trainer.stages import grpo
from trainer.train import replay


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
    parts = [[row[f"{name}_s"] for name in ("publish", "wait", "train")] for row in rows]
    assert all(sum(seconds) <= row["step_s"] for seconds, row in zip(parts, rows, strict=True))
    completions = Run(recipe).folder / "completions" / "batch-00001.jsonl"
    prompts = [json.loads(line)["prompt"] for line in completions.read_text("utf-8").splitlines()]
    assert prompts[::2] == prompts[1::2]
    assert len(set(prompts)) == 3


def test_a_replay_gives_the_same_weights_without_any_service(
    stage: tuple[GrpoRecipe, LoopJudge],
) -> None:
    """Byte for byte, from the run's own folder; the run itself is left as it is."""
    recipe, judge = stage
    for number in range(6):
        judge.enqueue(f"00001-000{number}", verdict(0.1 * number))
        judge.enqueue(f"00002-000{number}", verdict(-0.1 * number))
    grpo.train(recipe)
    asked = len(judge.requests)
    away = dict.fromkeys(("server", "judge"), "http://127.0.0.1:9")
    nowhere = recipe.services.model_copy(update=away)
    folder, is_same = replay(recipe.model_copy(update={"services": nowhere}), "r")
    assert is_same
    manifests = [
        json.loads((recipe.runs / r / "manifest.json").read_text()) for r in ("r", "r-replay")
    ]
    assert manifests[0]["template"] == manifests[1]["template"]
    assert folder == recipe.runs / "r-replay" / "final"
    assert len(judge.requests) == asked
    assert digest.of_folder(folder) != digest.of_folder(recipe.model)
    stored = Run(recipe).folder / "completions" / "batch-00001.jsonl"
    rows = [json.loads(line) for line in stored.read_text("utf-8").splitlines()]
    turned = [json.dumps({**row, "reward": -row["reward"]}) + "\n" for row in rows]
    stored.write_text("".join(turned), "utf-8")
    assert replay(recipe, "r") == (folder, False)  # begun anew
    (folder.parent / "completions").mkdir()
    with pytest.raises(Conflict, match="has rollouts of its own"):
        replay(recipe, "r")


def test_the_best_version_is_by_held_out_questions_and_is_kept(
    stage: tuple[GrpoRecipe, LoopJudge],
) -> None:
    """Whatever was rewarded in training; the last version is published beside it."""
    recipe, judge = stage
    judge.reward = 0.2
    judge.enqueue("held-out-00001-0000", verdict(0.8))
    judge.enqueue("held-out-00002-0001", verdict(None))
    recipe = recipe.model_copy(
        update={"batches": 3, "keep_versions": 1, "held_out_every": 1, "held_out": recipe.prompts}
    )
    grpo.train(recipe)
    run = Run(recipe)
    best, manifest = BestVersion(run.folder).now, run.manifest()
    assert best is not None and manifest is not None
    assert (best.batch, best.by, round(best.score, 3)) == (1, "held_out_reward", 0.4)
    assert (manifest["best"], manifest["held_out_reward"]) == (best.version, pytest.approx(0.2))
    kept = {path.name for path in run.versions.iterdir()}
    assert kept >= {best.version, manifest["version"]}
    rows = [json.loads(line) for line in run.metrics.read_text("utf-8").splitlines()]
    assert [round(row["held_out_reward"], 3) for row in rows] == [0.2, 0.4, 0.2]
    counts = [[row[f"held_out_{what}"] for what in ("judged", "failed", "foreign")] for row in rows]
    assert counts == [[3, 0, 0], [3, 0, 0], [2, 1, 0]]


def test_a_prompt_whose_answers_are_all_alike_is_asked_again(
    stage: tuple[GrpoRecipe, LoopJudge],
) -> None:
    """With other seeds, as often as the recipe says; what replaced it is what is learnt from."""
    recipe, judge = stage
    judge.enqueue("00001-0000", verdict(0.9))
    judge.enqueue("00001-again-1-0001", verdict(0.7))
    grpo.train(recipe.model_copy(update={"redraw": 2, "batches": 1}))
    (row,) = [json.loads(line) for line in Run(recipe).metrics.read_text("utf-8").splitlines()]
    assert (row["redrawn"], row["expected"]) == (4 + 2, 6)
    assert row["flat_groups"] == pytest.approx(1 / 3)
    assert row["reward_mean"] == pytest.approx((0.9 + 0.7 + 4 * 0.5) / 6)
