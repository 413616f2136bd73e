"""Group-relative policy optimisation."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from trainer.recipes.rl import RlRecipe


class GrpoRecipe(RlRecipe):
    """Group-relative policy optimisation: the baseline is the mean reward of a prompt's answers.

    Relatives are fields: Dr. GRPO is {normalise: none, over: constant}, GSPO {ratio: sequence,
    over: sequences}, CISPO {surrogate: cispo}, REINFORCE++-baseline {normalise: batch}.
    """

    stage: Literal["grpo"]
    generations: int = Field(default=4, ge=2)
    beta: float = Field(default=0.05, ge=0)
    """Weight of the KL to the reference in the loss; 0 computes no reference."""
    normalise: Literal["group", "batch", "none"] = "group"
    """The standard deviation that advantages are divided by."""
    ratio: Literal["token", "sequence"] = "token"
    """π/π_old of each token, or its geometric mean over the completion."""
    surrogate: Literal["clip", "cispo"] = "clip"
    redraw: int = Field(default=0, ge=0)
    """Times that prompts whose answers all got the same reward are asked again."""
    batch_size: int = Field(default=32, ge=2)
    mini_batch_size: int = Field(default=32, ge=1)
    epochs: int = Field(default=1, ge=1)
    learning_rate: float = Field(default=1e-5, gt=0)
    missing_eos_penalty: float = Field(default=0.0, ge=0)
    max_new_tokens: int = Field(default=1024, ge=1)
    temperature: float = Field(default=0.7, gt=0)

    @model_validator(mode="after")
    def _one_clip(self) -> Self:
        if self.surrogate == "cispo" and self.ratio == "sequence":
            raise ValueError("`surrogate: cispo` weighs tokens: it needs `ratio: token`")
        return self

    @property
    def needs_reference(self) -> bool:
        return self.beta > 0
