"""Continued pretraining on plain text."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field

from trainer.recipes.models import Lora
from trainer.recipes.tuning import Founding


class PretrainRecipe(Founding):
    """Next-token prediction on plain text, in full blocks; the numbers are MedicalGPT's."""

    stage: Literal["pretrain"]
    train: tuple[Path, ...] = Field(min_length=1)
    """Text files, or rows with `text`; a line of a text file is a document."""
    dev_share: float = Field(default=0.01, ge=0, lt=1)
    lora: Lora | None = Lora(r=8, alpha=16, dropout=0.05)
    learning_rate: float = Field(default=2e-4, gt=0)
    epochs: float = Field(default=1, gt=0)
    block: int = Field(default=512, ge=8)
    """Tokens of a block: documents are joined, with an end token between them, and cut."""
