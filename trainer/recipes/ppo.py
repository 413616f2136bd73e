"""Proximal policy optimisation."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from galen.settings import Settings
from trainer.recipes.models import ModelPath
from trainer.recipes.rl import RlRecipe


class Critic(Settings):
    """The value function: a token classifier with one label, separate from the policy."""

    model: ModelPath | None = None
    """Folder to start from; None means the policy's base."""
    layers: int | None = Field(default=None, ge=1)
    """Keep only the first `layers` layers; None keeps all."""
    learning_rate: float | None = Field(default=None, gt=0)
    """None means the policy's learning rate."""
    warmup: int = Field(default=0, ge=0)
    """First rollout batches in which the critic alone learns."""


class KlControl(Settings):
    """The reward's penalty on distance from the reference policy, with an adaptive coefficient."""

    coefficient: float = Field(default=0.2, ge=0)
    """The initial coefficient β."""
    estimator: Literal["k1", "k3"] = "k1"
    """k1 = log π − log π_ref; k3 = π_ref/π − 1 − log(π_ref/π), which is never negative."""
    target: float = Field(default=6.0, gt=0)
    """The KL that the controller aims at, in nats per completion."""
    horizon: int | None = Field(default=10_000, ge=1)
    """Samples over which the controller acts; a shorter horizon reacts faster. None keeps β."""


class PpoRecipe(RlRecipe):
    """Proximal policy optimisation, with rollouts from the policy server."""

    stage: Literal["ppo"]
    critic: Critic = Critic()
    kl: KlControl = KlControl()
    gamma: float = Field(default=1.0, gt=0, le=1)
    lam: float = Field(default=0.95, gt=0, le=1)
    value_lam: float | None = Field(default=None, gt=0, le=1)
    """λ of the returns that the critic learns; None means `lam`."""
    value_clip_range: float = Field(default=0.2, gt=0)
    value_coefficient: float = Field(default=0.1, ge=0)

    @property
    def needs_reference(self) -> bool:
        return self.kl.coefficient > 0
