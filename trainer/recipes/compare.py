"""Two policies side by side."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field

from trainer.recipes.models import ModelPath
from trainer.recipes.run import RunSettings
from trainer.recipes.services import Services


class CompareRecipe(RunSettings):
    """Two policies on held-out prompts, judged under one rubric."""

    stage: Literal["compare"]
    model: ModelPath
    """Folder of the tokenizer and chat template for both policies."""
    baseline: str = "base"
    """A version's name, or `run:<name>` for what a finished run published last."""
    candidate: str
    prompts: tuple[Path, ...] = Field(min_length=1)
    use_instruction: bool = True
    reference: bool = False
    """Whether the rows bring right answers (`gold`) that the rubric compares with, as `finance`."""
    samples: int = Field(default=4, ge=1)
    """Completions for each prompt and policy."""
    max_new_tokens: int = Field(default=1024, ge=1)
    temperature: float = Field(default=1.0, ge=0)
    pairwise: bool = False
    """Whether the judge also compares the answers pair by pair, in both orders."""
    resamples: int = Field(default=10_000, ge=100)
    """Bootstrap resamples of the prompts."""
    services: Services = Services()
