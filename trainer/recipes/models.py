"""What is trained: a demo model's shape, adapters."""

from __future__ import annotations

from pydantic import Field

from galen.settings import Settings


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
