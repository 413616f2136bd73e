"""Learning from preferences without a reward model: DPO, ORPO, KTO."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from trainer.recipes.models import Lora, ModelPath
from trainer.recipes.tuning import Tuning

DpoLoss = Literal[
    "sigmoid", "hinge", "ipo", "robust", "exo_pair", "nca_pair", "sppo_hard", "apo_zero", "apo_down"
]


class _Preference(Tuning):
    model: ModelPath
    dev_share: float = Field(default=0.05, ge=0, lt=1)
    lora: Lora | None = Lora(r=8, alpha=16, dropout=0.05)
    epochs: float = Field(default=1, gt=0)
    max_length: int = Field(default=1536, ge=8)
    """Most tokens of a prompt and one answer: MedicalGPT's 1,024 and 512."""


class DpoRecipe(_Preference):
    """Direct preference optimisation (`trl.DPOTrainer`); LoRA's base is the reference.

    loss = −log σ(β [log π/π_ref (y_chosen) − log π/π_ref (y_rejected)])
    """

    stage: Literal["dpo"]
    learning_rate: float = Field(default=5e-6, gt=0)
    beta: float = Field(default=0.1, gt=0)
    loss: DpoLoss = "sigmoid"
    """TRL's name of the loss."""
    label_smoothing: float = Field(default=0.0, ge=0, lt=0.5)
    """For `robust` and `exo_pair`: how likely a label is the wrong way round."""


class OrpoRecipe(_Preference):
    """Odds-ratio preference optimisation: SFT on the better answer, no reference model.

    loss = NLL(y_chosen) − λ log σ(log odds(y_chosen) − log odds(y_rejected))
    """

    stage: Literal["orpo"]
    learning_rate: float = Field(default=8e-6, gt=0)
    beta: float = Field(default=0.1, gt=0)
    """λ of the paper."""


class KtoRecipe(_Preference):
    """Kahneman–Tversky optimisation (`trl.KTOTrainer`): single answers, liked or not."""

    stage: Literal["kto"]
    learning_rate: float = Field(default=5e-6, gt=0)
    beta: float = Field(default=0.1, gt=0)
    liked_weight: float = Field(default=1.0, gt=0)
    disliked_weight: float = Field(default=1.0, gt=0)
