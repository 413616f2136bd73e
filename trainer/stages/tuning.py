"""What the stages share that train on a file of examples: everything but rows and loss.

A stage says how an example becomes rows of token ids, and which of TRL's trainers learns from them.
The rest is here: the model and its adapter, the data, resuming, the best checkpoint, the results.
"""

from __future__ import annotations

import json
import logging
import os
import random
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import ceil
from pathlib import Path
from typing import Any, Generic, TypeVar

import torch
from accelerate import PartialState
from datasets import Dataset
from peft import PeftModel
from torch import nn
from transformers import (
    AutoConfig,
    EarlyStoppingCallback,
    PreTrainedTokenizerBase,
    PrinterCallback,
    Trainer,
    TrainerCallback,
    set_seed,
)
from transformers.integrations.deepspeed import unset_hf_deepspeed_config

from galen import digest, disk
from galen.errors import InvalidInput
from trainer import demo_model, processes
from trainer.data import reader
from trainer.data.example import Example, Kind
from trainer.data.problems import BadRow
from trainer.model import add_lora, load_policy, load_tokenizer, prefers_bf16
from trainer.recipes import Tuning
from trainer.runs import Run, dashboards
from trainer.stages.watch import Recorder, StopOnLostNumbers, StopOnSignal

log = logging.getLogger(__name__)

R = TypeVar("R", bound=Tuning)
Rows = list[dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Parts:
    """What a trainer is made of."""

    model: nn.Module
    tokenizer: PreTrainedTokenizerBase
    train: Dataset
    dev: Dataset | None
    arguments: dict[str, Any]
    """Of `TrainingArguments`, and so of each of TRL's configurations."""
    callbacks: list[TrainerCallback]

    def given(self) -> dict[str, Any]:
        """What each of TRL's trainers takes, but for its configuration."""
        return {
            "model": self.model,
            "train_dataset": self.train,
            "eval_dataset": self.dev,
            "processing_class": self.tokenizer,
            "callbacks": self.callbacks,
        }


@dataclass(frozen=True, slots=True)
class Stage(Generic[R]):
    kind: Kind
    encode: Callable[[R, PreTrainedTokenizerBase, Example], Rows]
    """The rows of token ids that an example gives. Raises `BadRow`."""
    trainer: Callable[[R, Parts], Trainer]
    load: Callable[[R, Path], nn.Module] = lambda recipe, folder: load_policy(
        folder, train_all=recipe.lora is None, bits=recipe.quantize
    )
    task: str = "CAUSAL_LM"
    """PEFT's name of what the model does."""
    combine: Callable[[R, list[Rows]], list[Rows]] = lambda recipe, groups: groups
    """Makes other rows of all examples' rows, before some are left out to evaluate on."""


def train(stage: Stage[R], recipe: R) -> Path:
    """Run or resume the stage; returns the folder of the finished model or of its adapter."""
    run = Run(recipe)
    dashboards(recipe)  # refused before anything is read
    tokenizer, datasets = None, None
    if recipe.model:  # bad data is refused before a run's folder is made
        tokenizer = load_tokenizer(recipe.model)
        datasets = read(stage, recipe, tokenizer)
    # Of several processes the first makes the folder, and the others find it made.
    with PartialState(cpu=not torch.cuda.is_available()).main_process_first():
        run.open()
        run.drop_broken_checkpoints()
        set_seed(recipe.seed)
        folder = recipe.model or demo_model.start(recipe, stage.kind)
    tokenizer = tokenizer or load_tokenizer(folder)
    rows, dev = datasets or read(stage, recipe, tokenizer)
    model = stage.load(recipe, folder)
    if recipe.lora:
        model = add_lora(model, recipe.lora, stage.task)
    signals = StopOnSignal()
    callbacks: list[TrainerCallback] = [StopOnLostNumbers(), signals]
    if processes.is_first():
        callbacks.insert(0, Recorder(run))
    if recipe.patience:
        callbacks.append(EarlyStoppingCallback(recipe.patience))
    os.environ["TENSORBOARD_LOGGING_DIR"] = str(run.tensorboard)
    os.environ.setdefault("WANDB_PROJECT", "galen")
    bf16 = prefers_bf16(model) if recipe.bf16 is None else recipe.bf16
    parts = Parts(model, tokenizer, rows, dev, arguments(recipe, run, bf16), callbacks)
    trainer = stage.trainer(recipe, parts)
    trainer.args.warmup_steps = _warmup_steps(trainer, recipe)
    trainer.remove_callback(PrinterCallback)  # the bar shows the loss
    with run.logging(), signals.listening():
        _learn(trainer, run, signals)
        figures = trainer.evaluate() if dev is not None else {}
        _finish(stage, recipe, run, folder, trainer, figures)
    return run.final if run.final.is_dir() else run.folder / "adapter"


def _warmup_steps(trainer: Trainer, recipe: Tuning) -> int:
    """Whole steps only: the first step of a warm-up has the rate 0, and a run of few steps would
    learn nothing in it."""
    an_epoch = len(trainer.get_train_dataloader()) / recipe.gradient_accumulation
    return int(recipe.warmup_ratio * (recipe.max_steps or ceil(recipe.epochs * an_epoch)))


def read(
    stage: Stage[R], recipe: R, tokenizer: PreTrainedTokenizerBase
) -> tuple[Dataset, Dataset | None]:
    """The rows to learn from and those to evaluate on. Raises `DataError` for bad ones."""

    def encode(example: Example) -> Rows:
        return stage.encode(recipe, tokenizer, example)

    found = stage.combine(recipe, reader.read(recipe.train, stage.kind, encode))
    dev = stage.combine(recipe, reader.read(recipe.dev, stage.kind, encode)) if recipe.dev else []
    if recipe.dev_share and not recipe.dev:
        random.Random(recipe.seed).shuffle(found)
        share = max(1, round(recipe.dev_share * len(found)))
        if share >= len(found):
            names = ", ".join(map(str, recipe.train))
            raise InvalidInput(
                f"{names}: {len(found)} row(s), too few to evaluate on a share of them; add rows, "
                "name a `dev` file, or set `dev_share: 0`"
            )
        found, dev = found[share:], found[:share]
    return _dataset(found), _dataset(dev) if dev else None


def _dataset(groups: Sequence[Rows]) -> Dataset:
    return Dataset.from_list([row for rows in groups for row in rows])


def too_long(length: int, most: int) -> BadRow:
    """The refusal of a row that has more tokens than the recipe allows."""
    reason = f"{length} tokens, `max_length` is {most}"
    return BadRow("", reason, "raise `max_length`, or shorten or delete the row")


def arguments(recipe: Tuning, run: Run, bf16: bool = False) -> dict[str, Any]:
    """Of `transformers.TrainingArguments`."""
    gpu = torch.cuda.is_available()
    again = recipe.gradient_checkpointing
    when = "steps" if recipe.is_evaluated else "no"
    return {
        "output_dir": str(run.checkpoints),
        "num_train_epochs": recipe.epochs,
        "max_steps": recipe.max_steps or -1,
        "per_device_train_batch_size": recipe.batch_size,
        "per_device_eval_batch_size": recipe.batch_size,
        "gradient_accumulation_steps": recipe.gradient_accumulation,
        "learning_rate": recipe.learning_rate,
        "lr_scheduler_type": recipe.scheduler,
        "weight_decay": recipe.weight_decay,
        "max_grad_norm": recipe.max_grad_norm,
        "eval_strategy": when,
        "eval_steps": recipe.save_steps,
        "save_steps": recipe.save_steps,
        "save_total_limit": 2,
        "load_best_model_at_end": recipe.is_evaluated,
        "metric_for_best_model": "eval_loss" if recipe.is_evaluated else None,
        "logging_steps": 10,
        "logging_first_step": True,
        "logging_nan_inf_filter": False,
        "report_to": dashboards(recipe),
        "run_name": recipe.run,
        "project": "galen",
        "seed": recipe.seed,
        "bf16": bf16,
        "gradient_checkpointing": gpu if again is None else again,
        "use_cpu": not gpu,
        "dataloader_pin_memory": gpu,
        "disable_tqdm": True,
        "ddp_find_unused_parameters": False,
    }


def _learn(trainer: Trainer, run: Run, signals: StopOnSignal) -> None:
    """Train from the last whole checkpoint to the end. Raises `TrainingStopped` on SIGTERM."""
    checkpoint = run.last_checkpoint()
    with disk.room():
        trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    signals.require_end(trainer.state)
    steps, last = trainer.state.global_step, trainer.state.log_history[-1]
    log.info("%d steps done: %s", steps, json.dumps(last))


def _finish(
    stage: Stage[R], recipe: R, run: Run, start: Path, trainer: Trainer, figures: dict[str, Any]
) -> None:
    """Save the model and mark the run as finished; of several processes the first does."""
    # All processes take part: each may hold only a share of the weights.
    state = trainer.accelerator.get_state_dict(trainer.model_wrapped)
    if processes.is_first():
        tokenizer = trainer.processing_class
        _save(stage, recipe, run, start, trainer.model, state, tokenizer)
        run.finish(
            steps=trainer.state.global_step,
            seconds=_seconds(trainer),
            final=str(run.final) if run.final.is_dir() else None,
            template=digest.of_json(str(tokenizer.chat_template)),
            figures={name: value for name, value in figures.items() if name != "epoch"},
        )
    trainer.accelerator.wait_for_everyone()


def _seconds(trainer: Trainer) -> float | None:
    """What the whole run took, if it was not resumed."""
    rows = [row for row in trainer.state.log_history if "train_runtime" in row]
    return float(rows[-1]["train_runtime"]) if len(rows) == 1 else None


def _save(
    stage: Stage[R],
    recipe: R,
    run: Run,
    start: Path,
    trained: nn.Module,
    state: dict[str, Any],
    tokenizer: PreTrainedTokenizerBase,
) -> None:
    """Write `final/`, dense if the recipe merges, and the adapter beside it.

    `state` has the whole weights, of which `trained` may hold a share.
    """
    shutil.rmtree(run.final, ignore_errors=True)
    draft = run.folder / ".final.partial"
    shutil.rmtree(draft, ignore_errors=True)
    with disk.room():
        adapter = run.folder / "adapter"
        if isinstance(trained, PeftModel):
            trained.save_pretrained(adapter, state_dict=state)
            if not recipe.merge:
                return
        is_fp32 = all(weight.dtype == torch.float32 for weight in trained.parameters())
        if processes.count() == 1 and is_fp32:  # a copy might not fit beside the optimizer
            model = trained
        else:
            model = _copy(stage, recipe, start)
            if isinstance(trained, PeftModel):
                model = PeftModel.from_pretrained(model, adapter)
            else:
                model.load_state_dict(state)
        if isinstance(model, PeftModel):
            model = model.merge_and_unload(safe_merge=True)
        model.to(AutoConfig.from_pretrained(start).dtype).save_pretrained(draft)  # type: ignore[operator]
        tokenizer.save_pretrained(draft)
    draft.rename(run.final)


def _copy(stage: Stage[R], recipe: R, start: Path) -> nn.Module:
    """The start model once more, whole, and in fp32: quantized weights would round updates away."""
    unset_hf_deepspeed_config()  # else the copy would be shared out, too
    return stage.load(recipe.model_copy(update={"lora": None, "quantize": None}), start)
