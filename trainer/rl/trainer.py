"""PPO as a `transformers.Trainer`: the library supplies optimizer, schedule, resume and callbacks.

One optimizer step is one mini-batch. Every `steps_per_batch` steps a new rollout batch is drawn
from the server and judged; the steps in between pass over it `ppo_epochs` times.
"""

from __future__ import annotations

import json
import logging
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from statistics import fmean
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.utils.data import Dataset
from transformers import PrinterCallback, Trainer, TrainingArguments

from trainer.recipes import PpoRecipe
from trainer.rl import advantages
from trainer.rl import batch as batches
from trainer.rl.actor_critic import ActorCritic
from trainer.rl.batch import Batch
from trainer.rl.rollout import Rollout

log = logging.getLogger(__name__)

_STATE = "ppo_state.json"
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


class PpoTrainer(Trainer):
    """Trains an `ActorCritic` on rollouts from `source`."""

    def __init__(
        self,
        model: ActorCritic,
        args: TrainingArguments,
        recipe: PpoRecipe,
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
        self._source = source
        self._pad = pad
        self._kl = advantages.AdaptiveKl(recipe.kl.coefficient, recipe.kl.target, recipe.kl.horizon)
        self._batch: Batch | None = None
        self._mini_batches: Iterator[Tensor] = iter(())
        self._stopped_early = False
        self._pending: dict[str, Any] = {}
        self._step_metrics: dict[str, list[float]] = defaultdict(list)

    @property
    def actor_critic(self) -> ActorCritic:
        model = self.accelerator.unwrap_model(self.model)
        assert isinstance(model, ActorCritic)
        return model

    def _prepare_inputs(self, inputs: Any) -> Any:
        """The next mini-batch; draws a new rollout batch first if one is due."""
        if self.state.global_step % self._recipe.steps_per_batch == 0:
            self._begin_batch(self.state.global_step // self._recipe.steps_per_batch)
        assert self._batch is not None
        rows = next(self._mini_batches)
        return {"batch": self._batch.rows(rows) if len(rows) else None}

    def _begin_batch(self, number: int) -> None:
        recipe, model = self._recipe, self.actor_critic
        model.eval()
        rollouts, facts = self._source.draw(model.policy, number, self.state.global_step)
        self._batch = batches.build(rollouts, model, recipe, self._kl.coefficient, self._pad)
        generator = torch.Generator().manual_seed(recipe.seed * 1_000_003 + number)
        self._mini_batches = batches.mini_batches(len(rollouts), recipe, generator)
        self._stopped_early = False
        kl = float(self._batch.kl_B.mean())
        self._pending = {
            **facts,
            "batch": number + 1,
            "kl": kl,
            "kl_coefficient": self._kl.coefficient,
            "mismatch": self._batch.mismatch,
        }
        self._kl.update(kl, len(rollouts))
        model.train()

    def compute_loss(
        self,
        model: nn.Module,
        inputs: dict[str, Batch | None],
        return_outputs: bool = False,
        num_items_in_batch: Any = None,
    ) -> Any:
        """L = L_policy + c_v · L_value on one mini-batch.

        Once the policy is 1.5 × `target_kl` away from the one that drew the batch, the remaining
        steps have no gradient, so the optimizer changes no parameter.
        """
        part = inputs["batch"]
        if part is None or self._stopped_early:
            return torch.zeros((), device=self.args.device, requires_grad=True)
        recipe, mask_BC = self._recipe, part.sequences.mask_BC
        logprobs_BC, values_BC = model(part.sequences, recipe.temperature)
        moved = float(advantages.masked_mean(part.old_logprobs_BC - logprobs_BC.detach(), mask_BC))
        if moved > EARLY_STOP_FACTOR * recipe.target_kl:
            self._stopped_early = True
            return torch.zeros((), device=self.args.device, requires_grad=True)
        policy_loss, clipped = advantages.policy_loss(
            logprobs_BC,
            part.old_logprobs_BC,
            part.advantages_BC,
            part.weights_BC,
            mask_BC,
            recipe.clip_range,
        )
        value_loss = advantages.value_loss(
            values_BC, part.old_values_BC, part.returns_BC, mask_BC, recipe.value_clip_range
        )
        self._note(
            policy_loss=policy_loss.item(),
            value_loss=value_loss.item(),
            clipped=clipped.item(),
            moved=moved,
        )
        return policy_loss + recipe.value_coefficient * value_loss

    def _note(self, **values: float) -> None:
        for name, value in values.items():
            self._step_metrics[name].append(value)

    def log(self, logs: dict[str, float], *args: Any, **kwargs: Any) -> None:
        """Add the rollout batch's figures to the library's own."""
        if self._pending:
            means = {name: fmean(values) for name, values in self._step_metrics.items()}
            logs = {**logs, **self._pending, **means, "stopped_early": int(self._stopped_early)}
            self._pending = {}
            self._step_metrics.clear()
        super().log(logs, *args, **kwargs)

    def create_optimizer(self, model: nn.Module | None = None) -> torch.optim.Optimizer:
        """AdamW without weight decay; the critic has its own learning rate."""
        actor_critic, rate = self.actor_critic, self._recipe.learning_rate
        trained = [p for p in actor_critic.policy.parameters() if p.requires_grad]
        critic_rate = self._recipe.critic.learning_rate or rate
        groups = [
            {"params": trained, "lr": rate},
            {"params": list(actor_critic.critic.parameters()), "lr": critic_rate},
        ]
        self.optimizer = torch.optim.AdamW(groups, weight_decay=0.0)
        return self.optimizer

    def save_model(self, output_dir: str | None = None, _internal_call: bool = False) -> None:
        folder = Path(output_dir or self.args.output_dir or ".")
        self.actor_critic.save(folder)
        state = {"kl_coefficient": self._kl.coefficient}
        (folder / _STATE).write_text(json.dumps(state), "utf-8")

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        folder = Path(resume_from_checkpoint)
        self.actor_critic.load(folder)
        state = json.loads((folder / _STATE).read_text("utf-8"))
        self._kl.coefficient = state["kl_coefficient"]

    def save_checkpoint(self) -> None:
        """Write a checkpoint; it is complete only at the boundary of a rollout batch."""
        self._save_checkpoint(self.model, trial=None)
