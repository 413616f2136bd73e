"""Several recipes as one pipeline."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from galen.settings import Settings


class PipelineStage(Settings):
    """A recipe and what to change in it."""

    recipe: Path
    set: tuple[str, ...] = ()
    """`field=value`, as after `--set`."""


def _stage(value: Any) -> Any:
    """A recipe's path alone needs no `recipe:` before it."""
    return {"recipe": value} if isinstance(value, str) else value


class PipelineRecipe(Settings):
    """Stages that start from each other's models, and rows to measure each of them on.

    Which stage needs which follows from the folders that their recipes name.
    """

    pipeline: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")
    """Name of the folder of the results, beside the folders of the runs."""
    runs: Path = Path("runs")
    stages: tuple[Annotated[PipelineStage, BeforeValidator(_stage)], ...] = Field(min_length=1)
    held_out: tuple[Path, ...] = Field(min_length=1)
    """Preferences, or conversations, that no stage learns from."""
    stack: Path | None = None
    """Stack file whose services a PPO stage uses."""
    resamples: int = Field(default=10_000, ge=100)
    """Bootstrap resamples of the held-out rows."""
    seed: int = Field(default=17, ge=0, lt=2**32)
