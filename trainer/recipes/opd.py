"""On-policy distillation."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from galen.settings import Settings
from trainer.recipes.rl import Rewards, RlRecipe


class Teacher(Settings):
    """A larger model behind a vLLM of its own, with the policy's tokenizer."""

    url: str = "http://127.0.0.1:8100"
    """The engine's address; the key comes from `GALEN_TEACHER_KEY`."""
    model: str
    """The name under which it serves."""


class OpdRecipe(RlRecipe):
    """On-policy distillation: a teacher grades each token of the policy's own answers."""

    stage: Literal["opd"]
    teacher: Teacher
    strength: float = Field(default=1.0, gt=0)
    """λ, the weight of the teacher's grades."""
    reward_weight: float = Field(default=0.0, ge=0)
    """Weight of the advantage by rewards, as GRPO has it; 0 asks for no rewards."""
    rewards: Rewards = Rewards(judge=0.0)
    epochs: int = Field(default=1, ge=1)
    batch_size: int = Field(default=32, ge=1)
    mini_batch_size: int = Field(default=32, ge=1)
    learning_rate: float = Field(default=1e-4, gt=0)
    missing_eos_penalty: float = Field(default=0.0, ge=0)

    @model_validator(mode="after")
    def _can_be_graded(self) -> Self:
        if self.temperature != 1:
            raise ValueError("`temperature` must be 1: the teacher's log-probabilities are at 1")
        if self.reward_weight and self.generations < 2:
            raise ValueError("`reward_weight` compares a prompt's answers: it needs `generations`")
        if self.rewards.is_asked and not self.reward_weight:
            raise ValueError("`rewards` are paid for and not learnt from: set `reward_weight`")
        if self.entropy_coefficient:
            raise ValueError("`entropy_coefficient` is no part of this loss; leave it out")
        return self

    @property
    def needs_reference(self) -> bool:
        return False

    @property
    def needs_rewards(self) -> bool:
        return self.reward_weight > 0
