"""Laws of what a PPO run writes for people."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from transformers import TrainerControl, TrainerState, TrainingArguments

from galen.errors import TrainingStopped
from tests.fakes.rollouts import rollout_of
from trainer.data.preferences import read_completions
from trainer.recipes import PpoRecipe
from trainer.rl import records
from trainer.rl.rollout import Question
from trainer.runs import Run


@pytest.fixture
def run(tmp_path: Path) -> Run:
    recipe = PpoRecipe(
        stage="ppo",
        run="r",
        runs=tmp_path,
        model=tmp_path,
        prompts=(tmp_path / "p.jsonl",),
        batches=4,
        batch_size=2,
        epochs=1,
    )
    run = Run(recipe)
    run.folder.mkdir(exist_ok=True)
    return run


def logs_of(batch: int) -> dict[str, Any]:
    return {**dict.fromkeys(records.REWARD_COLUMNS, 0.25), "batch": batch, "version": f"v{batch}"}


def recorded(run: Run, first_step: int, batches: list[int]) -> None:
    """One life of a run that begins at `first_step`, two steps a batch."""
    args = TrainingArguments(output_dir=str(run.checkpoints), use_cpu=True, report_to=[])
    state, control = TrainerState(global_step=first_step), TrainerControl()
    assert isinstance(run.recipe, PpoRecipe)
    recorder = records.RunRecorder(run, run.recipe)
    recorder.on_train_begin(args, state, control)
    for batch in batches:
        recorder.on_log(args, state, control, logs=logs_of(batch))
    recorder.on_log(args, state, control, logs={"train_runtime": 1.0})
    recorder.on_train_end(args, state, control)


def batches_in(run: Run) -> tuple[list[int], list[int]]:
    lines = run.metrics.read_text("utf-8").splitlines()
    with run.rewards.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    return [json.loads(line)["batch"] for line in lines], [int(row["batch"]) for row in rows]


def test_a_resumed_run_redoes_the_rows_beyond_its_checkpoint(run: Run) -> None:
    """Each batch stands once in both files, however often it was run."""
    recorded(run, 0, [1, 2, 3])
    assert batches_in(run) == ([1, 2, 3], [1, 2, 3])
    recorded(run, 4, [3, 4])
    assert batches_in(run) == ([1, 2, 3, 4], [1, 2, 3, 4])


def test_a_row_that_a_kill_cut_off_is_dropped(run: Run) -> None:
    """What has no line end was not written whole."""
    recorded(run, 0, [1, 2])
    for path in (run.metrics, run.rewards):
        path.write_text(path.read_text("utf-8") + path.read_text("utf-8")[:4], "utf-8", newline="")
    recorded(run, 4, [3])
    assert batches_in(run) == ([1, 2, 3], [1, 2, 3])


def test_rewards_csv_has_its_columns_in_order(run: Run) -> None:
    """The header is part of what people build on."""
    recorded(run, 0, [1])
    header = run.rewards.read_text("utf-8").splitlines()[0]
    assert header.split(",") == list(records.REWARD_COLUMNS)


def test_a_failed_judgement_counts_as_failed_and_in_no_mean() -> None:
    """Mean and spread are over rewards that are there."""
    judged = [rollout_of(1.0), rollout_of(0.0, finish_reason="length", flags=("禁忌",))]
    found = records.summary([*judged, rollout_of(None)], foreign=2, expected=5)
    assert found == {
        "reward_mean": 0.5,
        "reward_std": 0.5,
        "violations": 1,
        "violations_禁忌": 1,
        "cost_usd": 0.0,
        "expected": 5,
        "judged": 1,
        "failed": 1,
        "cut_off": 1,
        "foreign": 2,
        "cut_off_share": pytest.approx(1 / 3),
        "repetition": 0.0,
        "tokens_mean": 3,
        "tokens_max": 3,
        "flat_groups": 0.0,
    }


def test_no_completion_is_lost_unseen() -> None:
    """A batch in which one is unaccounted for is no batch."""
    with pytest.raises(TrainingStopped, match="1 of 3"):
        records.summary([rollout_of(1.0), rollout_of(None)], foreign=0, expected=3)


def test_completions_are_kept_with_their_whole_prompt(run: Run) -> None:
    """With system message and earlier turns, so that preferences made of them are about the same
    conversation."""
    rollout = rollout_of(0.5)
    row = rollout.question.row.model_copy(update={"instruction": "s", "history": (("q0", "a0"),)})
    records.write_completions(run, 1, [replace(rollout, question=Question(row, (1,)))])
    (entry,) = read_completions(run.folder)
    assert [each.content for each in entry.messages] == ["s", "q0", "a0", row.input]


def test_completions_are_kept_with_their_verdicts(run: Run) -> None:
    """One line each, a failed one with no reward."""
    records.write_completions(run, 7, [rollout_of(0.5), rollout_of(None)])
    path = run.folder / "completions" / "batch-00007.jsonl"
    entries = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    assert [entry["reward"] for entry in entries] == [0.5, None]
    assert entries[0]["completion"] == "建议就医"
