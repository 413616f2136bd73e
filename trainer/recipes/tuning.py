"""Fields of every stage that trains on a file of examples."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, Self

from pydantic import Field, model_validator

from trainer.recipes.models import DemoModel, Lora, ModelPath
from trainer.recipes.run import RunSettings


class Tuning(RunSettings):
    """What the data is, which weights are trained, and how."""

    model: ModelPath | None
    """Folder of the model to start from."""
    train: tuple[Path, ...] = Field(min_length=1)
    """Files of rows, in any format that docs/data.md lists."""
    dev: tuple[Path, ...] = ()
    """Files to evaluate on."""
    dev_share: float = Field(default=0.0, ge=0, lt=1)
    """Without `dev`: the share of the training rows that is left out to evaluate on."""
    lora: Lora | None = Lora()
    """None trains every parameter."""
    quantize: Literal[4, 8] | None = None
    """Bits of the frozen base under LoRA (QLoRA); needs CUDA."""
    merge: bool = True
    """Merge the adapter into the model that `final/` holds."""
    learning_rate: float = Field(default=2e-4, gt=0)
    epochs: float = Field(default=3, gt=0)
    max_steps: int | None = Field(default=None, ge=1)
    """Optimizer steps after which the run ends, whatever `epochs` says."""
    batch_size: int = Field(default=4, ge=1)
    gradient_accumulation: int = Field(default=1, ge=1)
    warmup_ratio: float = Field(default=0.03, ge=0, lt=1)
    scheduler: Literal["cosine", "linear", "constant_with_warmup"] = "cosine"
    weight_decay: float = Field(default=0.0, ge=0)
    max_grad_norm: float = Field(default=1.0, gt=0)
    max_length: int = Field(default=2048, ge=8)
    """Most tokens of prompt and completion; a longer row is an error, never truncated."""
    gradient_checkpointing: bool | None = None
    """Compute activations again instead of keeping them; None means on a GPU."""
    bf16: bool | None = None
    """Compute in bfloat16; None means on a GPU, and for real models on CPUs that have it."""
    save_steps: int = Field(default=200, ge=1)
    """Optimizer steps between checkpoints, and between evaluations."""
    patience: int | None = Field(default=None, ge=1)
    """Stop after so many evaluations without a better one. None never stops early."""

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.quantize and self.lora is None:
            raise ValueError("`quantize` freezes the base: it needs `lora`")
        if self.patience and not self.is_evaluated:
            raise ValueError("`patience` needs rows to evaluate on: give `dev` or `dev_share`")
        return self

    @property
    def is_evaluated(self) -> bool:
        return bool(self.dev or self.dev_share)

    @property
    def data(self) -> tuple[Path, ...]:
        return self.train + self.dev


class Founding(Tuning):
    """A stage that starts from a model's folder, or makes a demo model."""

    model: ModelPath | None = None
    """Folder of the model to start from; omitted if `demo_model` makes one."""
    demo_model: DemoModel | None = None

    @model_validator(mode="after")
    def _one_model(self) -> Self:
        if (self.model is None) == (self.demo_model is None):
            raise ValueError("give exactly one of `model` and `demo_model`")
        if self.demo_model is not None and self.lora is not None:
            raise ValueError(
                "a demo model has no trained weights: set `lora: null` to train all of it"
            )
        return self
