"""The loop of reinforcement learning as a `transformers.Trainer`: the library supplies optimizer,
schedule, resume and callbacks.

One optimizer step is one mini-batch. Every `steps_per_batch` steps a new rollout batch is drawn
from the server and judged; the steps in between pass over it `epochs` times.
"""

from __future__ import annotations

import json
import logging
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from statistics import fmean
from typing import Any, Protocol

import torch
from accelerate.utils import reduce
from torch import Tensor, nn
from torch.utils.data import Dataset
from transformers import PrinterCallback, Trainer, TrainingArguments

from trainer.recipes import PpoRecipe, RlRecipe
from trainer.rl import alarms
from trainer.rl import batch as batches
from trainer.rl.actor_critic import ActorCritic
from trainer.rl.algorithms import Algorithm
from trainer.rl.algorithms.streams import Now
from trainer.rl.batch import Batch, Part
from trainer.rl.rollout import Rollout

log = logging.getLogger(__name__)

_STATE = "algorithm.json"
EARLY_STOP_FACTOR = 1.5


class RolloutSource(Protocol):
    """Supplies rollouts; the trainer has no other access to the services."""

    def draw(
        self, policy: nn.Module, batch: int, step: int
    ) -> tuple[list[Rollout], dict[str, Any]]:
        """Rollouts of the present policy that have a reward, and the batch's figures. Raises
        `TrainingStopped`."""
        ...


class Steps(Dataset[int]):
    """The numbers of the optimizer steps; the data comes from rollouts."""

    def __init__(self, count: int) -> None:
        self._count = count

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, index: int) -> int:
        return index


def _numbered(steps: list[int]) -> dict[str, Tensor]:
    return {"step": torch.tensor(steps)}


class RlTrainer(Trainer):
    """Trains an `ActorCritic` by `algorithm` on rollouts from `source`."""

    def __init__(
        self,
        model: ActorCritic,
        args: TrainingArguments,
        recipe: RlRecipe,
        algorithm: Algorithm,
        source: RolloutSource,
        pad: int,
        **kwargs: Any,
    ) -> None:
        steps = Steps(recipe.batches * recipe.steps_per_batch)
        super().__init__(
            model=model, args=args, train_dataset=steps, data_collator=_numbered, **kwargs
        )
        self.remove_callback(PrinterCallback)
        self.model_accepts_loss_kwargs = False
        self._recipe = recipe
        self._algorithm = algorithm
        self._source = source
        self._pad = pad
        self._batch: Batch | None = None
        self._mini_batches: Iterator[Tensor] = iter(())
        self._policy_rests = False
        self._stopped_early = False
        self._step_began = self._began = 0.0
        self._pending: dict[str, Any] = {}
        self._step_metrics: dict[str, list[float]] = defaultdict(list)

    @property
    def actor_critic(self) -> ActorCritic:
        model = self.accelerator.unwrap_model(self.model)
        assert isinstance(model, ActorCritic)
        return model

    def _begin_batch(self, number: int) -> None:
        recipe, model = self._recipe, self.actor_critic
        model.eval()
        self._step_began = time.monotonic()
        rollouts, facts = self._source.draw(model.policy, number, self.state.global_step)
        self._began = time.monotonic()
        with self.accelerator.autocast():  # the same arithmetic as in the steps
            self._batch = batches.build(rollouts, model, recipe, self._algorithm, self._pad)
        generator = torch.Generator().manual_seed(recipe.seed * 1_000_003 + number)
        self._mini_batches = batches.mini_batches(len(rollouts), recipe, generator)
        self._stopped_early = False
        self._policy_rests = isinstance(recipe, PpoRecipe) and number < recipe.critic.warmup
        self._pending = {
            **facts,
            "batch": number + 1,
            **self._algorithm.state(),
            **self._batch.figures,
        }
        if self._batch.kl_B is not None:
            kl = float(self._batch.kl_B.mean())
            self._pending["kl"] = kl
            self._algorithm.after_batch(kl, len(rollouts))

    def training_step(
        self, model: nn.Module, inputs: dict[str, Any], num_items_in_batch: Any = None
    ) -> Tensor:
        """The gradient of one mini-batch, part by part; draws a rollout batch first if one is due.

        Once the policy is 1.5 × `target_kl` away from the one that drew the batch, the remaining
        steps have no gradient, so the optimizer changes no parameter.
        """
        if self.state.global_step % self._recipe.steps_per_batch == 0:
            self._begin_batch(self.state.global_step // self._recipe.steps_per_batch)
        assert self._batch is not None
        model.train()
        rows = next(self._mini_batches)
        total = torch.zeros((), device=self.args.device)
        parts = self._batch.parts(rows, self._recipe.micro_batch_size, self._recipe)
        if not parts or self._stopped_early:
            return total  # without gradients the optimizer rests; by zeros its momentum would go on
        figures: dict[str, float] = defaultdict(float)
        for part in parts:
            with self.compute_loss_context_manager():
                loss = self._loss(model, part, figures)
            self.accelerator.backward(loss * self.args.world_size)  # it means over processes
            total += loss.detach()
        if self.args.world_size > 1:
            total = self._summed(total, figures)
        if figures["moved"] > EARLY_STOP_FACTOR * self._recipe.target_kl:
            self._stopped_early = True
            model.zero_grad(set_to_none=True)
            return torch.zeros_like(total)
        if self._policy_rests:
            self.actor_critic.policy.zero_grad(set_to_none=True)
        for name, value in figures.items():
            self._step_metrics[name].append(value)
        return total

    def _summed(self, total: Tensor, figures: dict[str, float]) -> Tensor:
        """The loss of all processes; adds up their figures."""
        names = sorted(figures)
        own = [total.double(), *(torch.tensor(figures[n], device=total.device) for n in names)]
        summed: Tensor = reduce(torch.stack([each.double() for each in own]), reduction="sum")
        figures.update(zip(names, summed[1:].tolist(), strict=True))
        return summed[0].to(total.dtype)

    def _loss(self, model: nn.Module, part: Part, figures: dict[str, float]) -> Tensor:
        """The loss of one part; adds its share to the mini-batch's figures."""
        now: Now = model(part.sequences, self._recipe.temperature)
        loss, found = self._algorithm.loss(now, part.fixed)
        moved_BC = part.fixed.old_BC - now.logprobs_BC.detach()
        found["moved"] = float((part.by_token_BC * moved_BC).sum())
        found["entropy"] = float((part.by_token_BC * now.entropy_BC.detach()).sum())
        for name, value in found.items():
            figures[name] += value
        return loss

    def log(self, logs: dict[str, float], *args: Any, **kwargs: Any) -> None:
        """Add the rollout batch's figures to the library's own."""
        if self._pending:
            means = {name: fmean(values) for name, values in self._step_metrics.items()}
            logs = {**logs, **self._pending, **means, "stopped_early": int(self._stopped_early)}
            now = time.monotonic()
            logs |= {"train_s": now - self._began, "step_s": now - self._step_began}
            assert self._batch is not None
            tokens = int(self._batch.sequences.attention_BT.sum()) * self._recipe.epochs
            logs["train_tokens_s"] = tokens / logs["train_s"]
            self._raise_alarms(logs)
            self._pending = {}
            self._step_metrics.clear()
        super().log(logs, *args, **kwargs)

    def _raise_alarms(self, logs: dict[str, Any]) -> None:
        """Add the batch's alarms to its figures, and warn of them."""
        rows = [row for row in self.state.log_history if "batch" in row]
        found = alarms.raised([*rows, logs], self._recipe.alarms)
        logs["alarms"] = len(found)
        if found:
            logs["alarm"] = "; ".join(found)
            log.warning("batch %s: %s", logs["batch"], logs["alarm"])

    def create_optimizer(self, model: nn.Module | None = None) -> torch.optim.Optimizer:
        """AdamW without weight decay; a critic has its own learning rate."""
        actor_critic, recipe = self.actor_critic, self._recipe
        trained = [p for p in actor_critic.policy.parameters() if p.requires_grad]
        groups = [{"params": trained, "lr": recipe.learning_rate}]
        if isinstance(recipe, PpoRecipe) and actor_critic.critic is not None:
            rate = recipe.critic.learning_rate or recipe.learning_rate
            groups.append({"params": list(actor_critic.critic.parameters()), "lr": rate})
        self.optimizer = torch.optim.AdamW(groups, weight_decay=0.0)
        return self.optimizer

    def save_model(self, output_dir: str | None = None, _internal_call: bool = False) -> None:
        folder = Path(output_dir or self.args.output_dir or ".")
        self.actor_critic.save(folder)
        (folder / _STATE).write_text(json.dumps(self._algorithm.state()), "utf-8")

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        folder = Path(resume_from_checkpoint)
        self.actor_critic.load(folder)
        self._algorithm.restore(json.loads((folder / _STATE).read_text("utf-8")))

    def save_checkpoint(self) -> None:
        """Write a checkpoint; it is complete only at the boundary of a rollout batch."""
        self._save_checkpoint(self.model, trial=None)
