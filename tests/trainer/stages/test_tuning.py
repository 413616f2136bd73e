"""Laws of what the stages share: data, resuming, the same result again, lost numbers."""

from __future__ import annotations

import dataclasses
import json
import math
import os
import signal
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import Trainer, TrainerCallback

from galen import digest
from galen.errors import DataError, InvalidInput, RecipeError, TrainingStopped
from trainer.recipes import SftRecipe
from trainer.runs import Run, is_finished
from trainer.stages import sft, tuning
from trainer.stages.tuning import Parts, Stage
from trainer.train import train

ROWS = [{"question": f"头痛第{i}天？", "answer": f"<think>第{i}天</think>就医"} for i in range(8)]


def recipe_of(folder: Path, toy: Path, run: str = "r", **changes: Any) -> SftRecipe:
    data = folder / "train.jsonl"
    data.write_text("".join(json.dumps(row) + "\n" for row in ROWS), "utf-8")
    fields = {
        "stage": "sft",
        "run": run,
        "runs": folder / "runs",
        "model": toy,
        "train": [data],
        "epochs": 2,
        "batch_size": 2,
        "learning_rate": 1e-3,
        "lora": {"r": 4, "alpha": 8, "dropout": 0.1},
        **changes,
    }
    return SftRecipe.model_validate(fields)


class At(TrainerCallback):
    """Does something at the end of one step."""

    def __init__(self, step: int, do: Any) -> None:
        self._step, self._do = step, do

    def on_step_end(self, args: Any, state: Any, control: Any, **given: Any) -> None:
        if state.global_step == self._step:
            self._do(given["model"])


def stage_with(callback: TrainerCallback) -> Stage[SftRecipe]:
    def trainer(recipe: SftRecipe, parts: Parts) -> Trainer:
        callbacks = [callback, *parts.callbacks]
        return sft.STAGE.trainer(recipe, dataclasses.replace(parts, callbacks=callbacks))

    return dataclasses.replace(sft.STAGE, trainer=trainer)


def losses(recipe: SftRecipe) -> list[tuple[int, float]]:
    rows = [json.loads(line) for line in Run(recipe).metrics.read_text("utf-8").splitlines()]
    return [(row["step"], row["eval_loss"]) for row in rows if "eval_loss" in row]


def test_a_run_of_one_step_learns(toy: Path, tmp_path: Path) -> None:
    """A warm-up of less than a step is none: its first step would have the rate 0."""
    recipe = recipe_of(tmp_path, toy, epochs=1, batch_size=8, lora=None)
    train(recipe)
    assert digest.of_file(recipe.folder / "final/model.safetensors") != digest.of_file(
        toy / "model.safetensors"
    )


def test_a_run_stopped_inside_an_epoch_ends_as_one_that_was_not(toy: Path, tmp_path: Path) -> None:
    """SIGTERM saves and stops; the same command ends with the same weights, to the bit."""
    whole = recipe_of(tmp_path, toy, "whole", dev_share=0.2, save_steps=2)
    train(whole)
    cut = recipe_of(tmp_path, toy, "cut", dev_share=0.2, save_steps=2)
    stop = At(3, lambda model: os.kill(os.getpid(), signal.SIGTERM))
    with pytest.raises(TrainingStopped, match="stopped by SIGTERM at step 3 of 6"):
        tuning.train(stage_with(stop), cut)
    assert not is_finished(cut)
    train(cut)
    assert digest.of_folder(Run(cut).final) == digest.of_folder(Run(whole).final)
    assert losses(cut) == losses(whole)


def test_the_same_seed_gives_the_same_weights_and_another_does_not(
    toy: Path, tmp_path: Path
) -> None:
    """To the bit, on a CPU."""
    found = [
        digest.of_folder(train(recipe_of(tmp_path, toy, name, seed=seed, epochs=1)))
        for name, seed in [("a", 1), ("b", 1), ("c", 2)]
    ]
    assert (found[0] == found[1], found[0] == found[2]) == (True, False)


def test_a_run_that_loses_its_numbers_stops_with_the_step(toy: Path, tmp_path: Path) -> None:
    """Nothing is saved or called finished; the checkpoint before stays."""

    @torch.no_grad()
    def spoil(model: torch.nn.Module) -> None:
        weight = next(w for w in model.parameters() if w.requires_grad)
        weight.fill_(math.nan)

    recipe = recipe_of(tmp_path, toy, save_steps=2)
    with pytest.raises(TrainingStopped, match=r"step 4: .* is not finite; lower `learning_rate`"):
        tuning.train(stage_with(At(3, spoil)), recipe)
    assert not is_finished(recipe)
    saved = Run(recipe).last_checkpoint()
    assert saved and saved.name == "checkpoint-2"


def test_the_best_checkpoint_is_kept_and_a_run_that_gets_worse_ends_early(
    toy: Path, tmp_path: Path
) -> None:
    """The model that is saved has the best evaluation of the run."""
    recipe = recipe_of(
        tmp_path, toy, lora=None, dev_share=0.2, save_steps=1, patience=2, learning_rate=0.5
    )
    train(recipe)
    seen = losses(recipe)
    assert len(seen) < 1 + 6
    figures = (Run(recipe).manifest() or {})["figures"]
    assert figures["eval_loss"] == min(loss for _, loss in seen)


def test_packed_rows_are_learnt_as_rows_on_their_own(toy: Path, tmp_path: Path) -> None:
    """Each sees only itself: the loss over all tokens is the same."""
    figures = []
    for packing in (False, True):
        recipe = recipe_of(tmp_path, toy, packing=packing, lora=None, batch_size=8, dev_share=0.0)
        tokenizer = tuning.load_tokenizer(toy)
        rows = sft.dataset(recipe, tokenizer)
        parts = Parts(
            tuning.load_policy(toy),
            tokenizer,
            rows,
            None,
            tuning.arguments(recipe, Run(recipe)),
            [],
        )
        trainer = sft.STAGE.trainer(recipe, parts)
        (batch,) = trainer.get_train_dataloader()
        assert batch["input_ids"].shape[0] == (1 if packing else 8)
        counted = (batch["labels"] != -100).sum()
        figures.append(
            trainer.compute_loss(trainer.model, batch, num_items_in_batch=counted).item()
        )
    assert figures[0] == pytest.approx(figures[1], rel=1e-4)


def test_data_is_refused_before_the_run_has_a_folder(toy: Path, tmp_path: Path) -> None:
    """So that the mended file does not meet a run of other data."""
    recipe = recipe_of(tmp_path, toy, max_length=8)
    with pytest.raises(DataError, match=r"line 1: .* tokens, `max_length` is 8"):
        train(recipe)
    assert not recipe.folder.exists()


def test_a_share_to_evaluate_on_needs_rows_to_learn_from(toy: Path, tmp_path: Path) -> None:
    """One row cannot be both."""
    recipe = recipe_of(tmp_path, toy, dev_share=0.5)
    recipe.train[0].write_text(json.dumps(ROWS[0]), "utf-8")
    with pytest.raises(InvalidInput, match=r"1 row\(s\), too few to evaluate on a share of them"):
        train(recipe)


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine can quantize")
def test_quantization_without_cuda_is_one_clear_line(toy: Path, tmp_path: Path) -> None:
    """It says what is missing."""
    with pytest.raises(RecipeError, match="`quantize: 4` needs a CUDA GPU; leave it out here"):
        train(recipe_of(tmp_path, toy, quantize=4))


@pytest.mark.skipif(find_spec("wandb") is not None, reason="wandb is installed")
def test_a_dashboard_that_is_not_installed_is_refused_first(toy: Path, tmp_path: Path) -> None:
    """With how to install it, and before the run has a folder."""
    recipe = recipe_of(tmp_path, toy, report_to="wandb")
    with pytest.raises(RecipeError, match="not installed; pip install wandb"):
        train(recipe)
    assert not recipe.folder.exists()


def test_checkpoints_that_were_cut_off_are_removed(toy: Path, tmp_path: Path) -> None:
    """The whole one before them is gone on from."""
    run = Run(recipe_of(tmp_path, toy))
    for name, files in [
        ("checkpoint-2", ["trainer_state.json"]),
        ("checkpoint-4", ["optimizer.pt"]),
    ]:
        (run.checkpoints / name).mkdir(parents=True)
        for file in files:
            (run.checkpoints / name / file).write_text("{}")
    run.drop_broken_checkpoints()
    assert [path.name for path in run.checkpoints.iterdir()] == ["checkpoint-2"]
