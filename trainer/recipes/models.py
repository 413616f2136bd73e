"""What is trained: a model's folder, a demo model's shape, adapters."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, Field

from galen.settings import Settings

MODELS = Path("models")
"""Where `galen models get` puts models."""


def _in_models(path: Path) -> Path:
    """A hub's name means the model's folder in `models/`, if it is there."""
    ours = MODELS / path.name
    return ours if len(path.parts) == 2 and not path.is_dir() and ours.is_dir() else path


ModelPath = Annotated[Path, AfterValidator(_in_models)]
"""A model's folder, or its name at a hub once `galen models get` has brought it."""


class DemoModel(Settings):
    """Shape of a demo model that is trained from scratch (`trainer.demo_model`)."""

    vocabulary: int = Field(default=4096, ge=300)
    """Most tokens; rare phrases get no token of their own."""
    hidden: int = Field(default=128, ge=64)
    layers: int = Field(default=3, ge=1)
    heads: int = Field(default=4, ge=1)
    kv_heads: int = Field(default=2, ge=1)


class Lora(Settings):
    """Low-rank adapters on every linear layer but the output head."""

    r: int = Field(default=64, ge=1)
    alpha: int = Field(default=128, ge=1)
    dropout: float = Field(default=0.1, ge=0, lt=1)
