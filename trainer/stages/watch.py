"""What watches a training loop: a bar, metrics.jsonl, a stop on SIGTERM and on lost numbers."""

from __future__ import annotations

import json
import logging
import math
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

import torch
from accelerate.utils import reduce
from torch import nn
from tqdm import tqdm
from transformers import TrainerCallback
from transformers import TrainerControl as Control
from transformers import TrainerState as State
from transformers import TrainingArguments as Arguments

from galen.errors import TrainingStopped
from trainer.runs import Run

log = logging.getLogger(__name__)


class Recorder(TrainerCallback):
    """Shows a bar with the loss, and appends each logged row to metrics.jsonl.

    A resumed run first drops the rows that it computes again.
    """

    def __init__(self, run: Run) -> None:
        self._run = run
        self._bar: tqdm[Any] | None = None

    def on_train_begin(self, args: Arguments, state: State, control: Control, **_: Any) -> None:
        self._run.forget_metrics_after(state.global_step)
        self._bar = tqdm(
            total=state.max_steps,
            initial=state.global_step,
            unit="step",
            desc=self._run.recipe.stage,
            mininterval=0.5,
        )

    def on_step_end(self, args: Arguments, state: State, control: Control, **_: Any) -> None:
        if self._bar is not None:
            self._bar.update(state.global_step - self._bar.n)

    def on_log(
        self,
        args: Arguments,
        state: State,
        control: Control,
        logs: dict[str, Any] | None = None,
        **_: Any,
    ) -> None:
        row = {"step": state.global_step, **(logs or {})}
        with self._run.metrics.open("a", encoding="utf-8") as out:
            out.write(json.dumps(row, ensure_ascii=False) + "\n")
        log.info("step %d of %d: %s", state.global_step, state.max_steps, json.dumps(logs))
        loss = row.get("loss", row.get("eval_loss"))
        if self._bar is not None and loss is not None:
            self._bar.set_postfix(loss=f"{loss:.4f}")

    def on_train_end(self, args: Arguments, state: State, control: Control, **_: Any) -> None:
        if self._bar is not None:
            self._bar.close()


class StopOnLostNumbers(TrainerCallback):
    """Ends a run whose loss or weights are no longer finite, before they are saved.

    The checkpoint before that stays: what comes after it cannot be learnt from.
    """

    def on_log(
        self,
        args: Arguments,
        state: State,
        control: Control,
        logs: dict[str, Any] | None = None,
        **_: Any,
    ) -> None:
        for name in ("loss", "eval_loss"):
            value = (logs or {}).get(name)
            if value is not None and not math.isfinite(value):
                raise _lost(f"the {name.replace('_', ' ')} is {value}", state.global_step)

    def on_step_end(
        self,
        args: Arguments,
        state: State,
        control: Control,
        model: nn.Module | None = None,
        **_: Any,
    ) -> None:
        if control.should_save or control.should_log or control.should_training_stop:
            for name, weight in model.named_parameters() if model else ():
                here = weight.to_local() if hasattr(weight, "to_local") else weight  # FSDP's share
                if weight.requires_grad and not bool(torch.isfinite(here).all()):
                    raise _lost(f"{name} is not finite", state.global_step)


class LostNumbers(TrainingStopped):
    """The weights in memory are spoilt: nothing of them may be saved."""


def _lost(what: str, step: int) -> LostNumbers:
    return LostNumbers(
        f"step {step}: {what}; lower `learning_rate` or `max_grad_norm`, or look for a bad row "
        "(galen data validate), and start under another `run` name"
    )


class StopOnSignal(TrainerCallback):
    """SIGTERM to any process of the run saves a checkpoint at the end of the step and stops all.

    With `every`, the step is the next one whose number that divides.
    """

    def __init__(self, every: int = 1) -> None:
        self.is_asked = False
        self._every = every

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Take the signal in this block; outside it means what it did before."""
        before = signal.signal(signal.SIGTERM, self._ask)
        try:
            yield
        finally:
            signal.signal(signal.SIGTERM, before)

    def on_step_end(self, args: Arguments, state: State, control: Control, **_: Any) -> None:
        if args.world_size > 1:
            # The signal reaches one process a step before another; they must stop at the same one.
            asked = reduce(torch.tensor(float(self.is_asked), device=args.device))
            self.is_asked = bool(asked > 0)
        is_due = state.global_step % self._every == 0
        if self.is_asked and is_due and state.global_step < state.max_steps:
            control.should_save = control.should_training_stop = True

    def require_end(self, state: State) -> None:
        """After training: raises `TrainingStopped` if the signal ended it."""
        if self.is_asked and state.global_step < state.max_steps:
            raise TrainingStopped(
                f"stopped by SIGTERM at step {state.global_step} of {state.max_steps}, with a "
                "checkpoint; the same command goes on from there"
            )

    def _ask(self, number: int, frame: FrameType | None) -> None:
        self.is_asked = True
