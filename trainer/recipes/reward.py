"""The reward model."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from trainer.recipes.models import Lora, ModelPath
from trainer.recipes.tuning import Tuning


class RewardRecipe(Tuning):
    """A model that scores answers, from pairs of a better and a worse one (`trl.RewardTrainer`).

    loss = −log σ(r(x, y_chosen) − r(x, y_rejected))        Bradley–Terry
    """

    stage: Literal["reward"]
    model: ModelPath
    dev_share: float = Field(default=0.1, ge=0, lt=1)
    lora: Lora | None = Lora(r=8, alpha=16, dropout=0.05)
    learning_rate: float = Field(default=2e-5, gt=0)
    epochs: float = Field(default=1, gt=0)
    center: float | None = Field(default=None, gt=0)
    """Weight of the penalty on (r_chosen + r_rejected)², which keeps scores around 0."""
