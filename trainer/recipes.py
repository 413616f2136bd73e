"""Recipes: YAML in, frozen models out, checked whole before torch is imported.

The defaults are the mission's numbers for Qwen3-1.7B; what a demo needs otherwise stands in its
own YAML file.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, TypeAdapter, model_validator

from galen.errors import RecipeError
from galen.settings import Settings, apply_overrides, read_yaml, validated


class DemoModel(Settings):
    """Shape of a demo model made from nothing (`trainer.demo_model`)."""

    vocabulary: int = Field(default=1536, ge=300)
    hidden: int = Field(default=192, ge=64)
    layers: int = Field(default=3, ge=1)
    heads: int = Field(default=4, ge=1)
    kv_heads: int = Field(default=2, ge=1)


class Lora(Settings):
    r: int = Field(default=64, ge=1)
    alpha: int = Field(default=128, ge=1)
    dropout: float = Field(default=0.1, ge=0, lt=1)
