"""Proximal policy optimisation against the judge."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, Self

from pydantic import Field, model_validator

from galen.settings import Settings
from trainer.recipes.models import Lora, ModelPath
from trainer.recipes.run import RunSettings
from trainer.recipes.services import Services


class Critic(Settings):
    """The value function: a token classifier with one label, separate from the policy."""

    model: ModelPath | None = None
    """Folder to start from; None means the policy's base."""
    layers: int | None = Field(default=None, ge=1)
    """Keep only the first `layers` layers; None keeps all."""
    learning_rate: float | None = Field(default=None, gt=0)
    """None means the policy's learning rate."""


class KlControl(Settings):
    """The reward's penalty on distance from the reference policy, with an adaptive coefficient."""

    coefficient: float = Field(default=0.2, ge=0)
    """The initial coefficient β."""
    target: float = Field(default=6.0, gt=0)
    """The KL that the controller aims at, in nats per completion."""
    horizon: int = Field(default=10_000, ge=1)
    """Samples over which the controller acts; a shorter horizon reacts faster."""


class PpoRecipe(RunSettings):
    """Proximal policy optimisation against the judge, with rollouts from the policy server."""

    stage: Literal["ppo"]
    model: ModelPath
    """Folder of the policy to improve: the weights that the server calls `base`."""
    prompts: tuple[Path, ...] = Field(min_length=1)
    """Files of questions, in any format that docs/data.md lists."""
    use_instruction: bool = True
    lora: Lora | None = Lora()
    publish: Literal["adapter", "merged"] = "adapter"
    """What the server loads: adapters suit a GPU, merged weights are far faster on a CPU."""
    services: Services = Services()
    critic: Critic = Critic()
    kl: KlControl = KlControl()
    learning_rate: float = Field(default=1.41e-5, gt=0)
    batches: int = Field(default=500, ge=1)
    """Rollout batches; each ends with a published version."""
    batch_size: int = Field(default=4, ge=1)
    mini_batch_size: int = Field(default=1, ge=1)
    ppo_epochs: int = Field(default=4, ge=1)
    target_kl: float = Field(default=0.1, gt=0)
    """Mean nats per token between old and new policy; beyond 1.5 × this the batch stops early."""
    gamma: float = Field(default=1.0, gt=0, le=1)
    lam: float = Field(default=0.95, gt=0, le=1)
    clip_range: float = Field(default=0.2, gt=0)
    value_clip_range: float = Field(default=0.2, gt=0)
    value_coefficient: float = Field(default=0.1, ge=0)
    importance_cap: float | None = Field(default=2.0, ge=1)
    """Cap of the importance weights for differences between engine and trainer; None disables
    them."""
    missing_eos_penalty: float = Field(default=1.0, ge=0)
    """Subtracted from the reward of a completion that was cut off."""
    max_new_tokens: int = Field(default=1024, ge=1)
    temperature: float = Field(default=1.0, gt=0)
    max_grad_norm: float = Field(default=1.0, gt=0)
    quorum: float = Field(default=0.5, gt=0, le=1)
    """Lowest share of a batch that must have a reward."""
    patience_s: float = Field(default=600.0, ge=0)
    """Seconds to wait for the quorum; then the run writes a checkpoint and stops."""
    save_every: int = Field(default=10, ge=1)
    """Rollout batches between checkpoints."""
    keep_versions: int = Field(default=3, ge=1)
    """Published versions kept on disk, not counting the final one."""

    @model_validator(mode="after")
    def _batches_divide(self) -> Self:
        if self.batch_size % self.mini_batch_size:
            raise ValueError("`batch_size` must be a multiple of `mini_batch_size`")
        if self.publish == "adapter" and self.lora is None:
            raise ValueError("`publish: adapter` needs `lora`; full training publishes `merged`")
        return self

    @property
    def steps_per_batch(self) -> int:
        """Optimizer steps for one rollout batch."""
        return self.ppo_epochs * self.batch_size // self.mini_batch_size
