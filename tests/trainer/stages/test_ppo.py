"""Laws of the PPO stage as a whole, on a toy policy before both fake services."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from torch import nn

from galen import digest
from galen.errors import Conflict, TrainingStopped
from judge.schemas import Estimate
from tests.fakes.examination import examinee_of
from tests.fakes.loop_services import LoopJudge, LoopPolicyServer, steady
from tests.fakes.rollouts import row_of
from tests.fakes.rows import write_jsonl
from trainer.recipes import PpoRecipe
from trainer.rl.source import ServiceRollouts
from trainer.runs import Run, is_finished
from trainer.stages import ppo

BATCHES, SIZE = 3, 4


@dataclass
class Stage:
    recipe: PpoRecipe
    judge: LoopJudge

    @property
    def run(self) -> Run:
        return Run(self.recipe)

    def rows(self) -> list[dict[str, object]]:
        return [json.loads(line) for line in self.run.metrics.read_text("utf-8").splitlines()]


@pytest.fixture
def stage(toy: Path, tmp_path: Path) -> Iterator[Stage]:
    prompts = tmp_path / "prompts.jsonl"
    write_jsonl(prompts, [row_of(f"q{i}", f"头痛第{i}天怎么办？") for i in range(3)])
    with LoopPolicyServer(digest.of_folder(toy)) as server, LoopJudge() as judge:
        server.tells_seed = True
        recipe = PpoRecipe.model_validate(
            {
                "stage": "ppo",
                "run": "r",
                "runs": tmp_path / "runs",
                "model": toy,
                "prompts": (prompts,),
                "lora": None,
                "publish": "merged",
                "critic": {"layers": 1},
                "services": {
                    "server": server.url,
                    "judge": judge.url,
                    "concurrency": 1,
                    "drift_every": 2,
                },
                "batches": BATCHES,
                "batch_size": SIZE,
                "max_new_tokens": 8,
                "mini_batch_size": 2,
                "epochs": 1,
                "patience_s": 0.0,
            }
        )
        yield Stage(recipe, judge)


def test_a_run_stops_at_its_cap_and_goes_on_when_it_is_raised(stage: Stage) -> None:
    """The stop says what to do and leaves a checkpoint; the same command ends the run, and nothing
    that was judged is judged again."""
    stage.judge.cap = SIZE + 2
    with pytest.raises(TrainingStopped) as stop:
        ppo.train(stage.recipe)
    assert "budget_exceeded" in stop.value.message
    assert "raise the cap" in stop.value.message
    assert "run the same command again" in stop.value.message
    checkpoint = stage.run.last_checkpoint()
    assert checkpoint is not None and checkpoint.name == "checkpoint-2"
    assert [row["batch"] for row in stage.rows()] == [1]
    stage.judge.cap = None
    ppo.train(stage.recipe)
    assert is_finished(stage.recipe)
    assert [row["batch"] for row in stage.rows()] == [1, 2, 3]
    assert len(stage.judge.paid) == BATCHES * SIZE
    assert len(set(stage.judge.paid)) == BATCHES * SIZE


def test_a_cap_that_is_spent_before_the_first_batch_stops_the_run_whole(stage: Stage) -> None:
    """There is nothing to save but the samples: the same command goes on with them, and a corrected
    recipe begins anew under the same name."""
    stage.judge.cap = 2
    with pytest.raises(TrainingStopped, match="budget_exceeded"):
        ppo.train(stage.recipe)
    assert stage.run.last_checkpoint() is None
    with pytest.raises(TrainingStopped, match="budget_exceeded"):
        ppo.train(stage.recipe.model_copy(update={"learning_rate": 1e-4}))
    stage.judge.cap = None
    ppo.train(stage.recipe)
    assert [row["batch"] for row in stage.rows()] == [1, 2, 3]


def test_sigterm_ends_a_run_at_the_end_of_its_batch(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a checkpoint; the same command goes on, and no batch is there twice."""
    publish = ServiceRollouts.publish

    def then_told(source: ServiceRollouts, policy: nn.Module, batch: int, step: int) -> str:
        if batch == 1:
            os.kill(os.getpid(), signal.SIGTERM)
        return publish(source, policy, batch, step)

    monkeypatch.setattr(ServiceRollouts, "publish", then_told)
    with pytest.raises(TrainingStopped, match="stopped by SIGTERM at step 4 of 6"):
        ppo.train(stage.recipe)
    monkeypatch.undo()
    ppo.train(stage.recipe)
    assert [row["batch"] for row in stage.rows()] == [1, 2, 3]


def test_lost_numbers_end_a_run_and_are_not_saved(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There is no checkpoint of a policy that is no longer a number."""
    lost = torch.tensor(float("nan"), requires_grad=True)
    monkeypatch.setattr("trainer.rl.algorithms.ppo.Ppo.loss", lambda *_: (lost * 1.0, {}))
    with pytest.raises(TrainingStopped, match="the loss is nan"):
        ppo.train(stage.recipe)
    assert stage.run.last_checkpoint() is None
    assert not is_finished(stage.recipe)


def test_an_unqualified_teacher_keeps_a_run_from_starting(stage: Stage) -> None:
    """Nothing is made, so that the run's name is free; what the recipe allows is in the log."""
    stage.judge.examinee = examinee_of(None)
    with pytest.raises(Conflict, match="galen judge qualify"):
        ppo.train(stage.recipe)
    assert not stage.run.folder.exists()
    services = stage.recipe.services.model_copy(update={"allow_unqualified": True})
    ppo.train(stage.recipe.model_copy(update={"services": services, "batches": 1}))
    assert "has not been examined" in stage.run.log.read_text("utf-8")


def test_drift_is_in_the_log_and_in_the_figures(stage: Stage) -> None:
    """Every second batch has a look, and an alarm is where people look for it."""
    shift = {"safety": Estimate(value=0.3, low=0.2, high=0.4)}
    stage.judge.drift.extend([steady(), steady(shift=shift, alarm=True, reason="safety moved")])
    ppo.train(stage.recipe)
    assert [(r.get("drift_shift"), r.get("drift_alarm")) for r in stage.rows()] == [
        (0.0, 0), (None, None), (0.3, 1),
    ]  # fmt: skip
    assert "WARNING trainer.rl.drift: batch 3: the judge has drifted: safety moved" in (
        stage.run.log.read_text("utf-8")
    )
