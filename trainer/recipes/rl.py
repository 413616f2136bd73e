"""Fields that all stages of reinforcement learning share."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from galen.settings import Settings
from trainer.recipes.models import Lora, ModelPath
from trainer.recipes.run import RunSettings
from trainer.recipes.services import Services

NOT_SAMPLED = (
    "top_p", "top_k", "min_p", "presence_penalty", "frequency_penalty", "repetition_penalty",
)  # fmt: skip


class RewardModel(Settings):
    """A trained reward model (stage `reward`) and the weight of its score."""

    folder: ModelPath
    weight: float = Field(default=1.0, gt=0)


class Rewards(Settings):
    """Where rewards come from: their weighted sum."""

    judge: float = Field(default=1.0, ge=0)
    """Weight of the judge's reward under `services.rubric`; 0 asks no teacher."""
    exact: float = Field(default=0.0, ge=0)
    """Weight of the exact check of form and result against the row's right answer: the judge's
    rubric `finance`, by rules alone."""
    model: RewardModel | None = None
    normalise: Literal["none", "batch", "group"] = "none"
    """Give each source mean 0 and deviation 1 over the batch, or over a prompt's answers, before
    the sum."""
    clip: float | None = Field(default=None, gt=0)
    """Largest absolute value of the sum."""
    scale: bool = False
    """Divide the sum by its standard deviation over the batch, or by 0.05 if that is less."""

    @property
    def is_asked(self) -> bool:
        """Whether there is any reward at all."""
        return bool(self.judge or self.exact or self.model)


class Correction(Settings):
    """Weights for what differs between the engine that draws and the trainer that learns.

    ρ = π_trainer / π_engine of each token; of a sequence its product, or its geometric mean. A
    weight beyond a bound is cut to it (`truncate`) or becomes 0 (`mask`). IcePop's mask is
    {level: token, mode: mask, low: 0.5, high: 5}.
    """

    level: Literal["token", "sequence", "geometric"] = "token"
    mode: Literal["truncate", "mask"] = "truncate"
    low: float = Field(default=0.0, ge=0)
    high: float = Field(default=2.0, gt=0)

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if not self.low <= 1 <= self.high:
            raise ValueError("`low` must be at most 1 and `high` at least 1")
        return self


class Alarms(Settings):
    """Bounds beyond which a batch raises an alarm: a warning in the log and on the report. None
    disables one."""

    entropy: float | None = 0.02
    """Lowest mean entropy of a token, in nats."""
    kl: float | None = -0.5
    """Lowest mean KL from the reference, in nats per completion."""
    repetition: float | None = 0.5
    """Highest share of runs of four tokens that their completion had before."""
    cut_off: float | None = 0.3
    """Highest share of completions that reached `max_new_tokens`."""
    tokens: float | None = None
    """Highest mean length of a completion."""
    flat_groups: float | None = 0.9
    """Highest share of prompts whose answers all got the same reward."""
    mismatch: float | None = 0.05
    """Highest KL between engine and trainer, in nats per token."""
    still: int | None = Field(default=5, ge=2)
    """Batches in a row in which a reward, or a part of it, may be the same."""


class RlRecipe(RunSettings):
    """Reinforcement learning with rollouts from the policy server."""

    model: ModelPath
    """Folder of the policy to improve: the weights that the server calls `base`."""
    prompts: tuple[Path, ...] = Field(min_length=1)
    """Files of questions, in any format that docs/data.md lists."""
    use_instruction: bool = True
    lora: Lora | None = Lora()
    publish: Literal["adapter", "merged"] = "adapter"
    """What the server loads: adapters suit a GPU, merged weights are far faster on a CPU."""
    services: Services = Services()
    rewards: Rewards = Rewards()
    correction: Correction | None = Correction()
    """None trusts the engine's arithmetic."""
    old_logprobs: Literal["engine", "trainer"] = "engine"
    """Whose log-probabilities the ratios start from. The engine's cost nothing; each batch the
    trainer computes one completion in eight, and all of them where the two do not agree."""
    staleness: int = Field(default=0, ge=0)
    """Batches by which generation may run ahead of the training: while one trains the next are
    drawn by the policy as it is. 0 is strictly on-policy."""
    learning_rate: float = Field(default=1.41e-5, gt=0)
    batches: int = Field(default=500, ge=1)
    """Rollout batches; each ends with a published version."""
    batch_size: int = Field(default=4, ge=1)
    """Completions in a rollout batch."""
    generations: int = Field(default=1, ge=1)
    """Completions of each prompt."""
    mini_batch_size: int = Field(default=1, ge=1)
    """Completions of an optimizer step."""
    micro_batch_size: int | None = Field(default=None, ge=1)
    """Completions that are computed at once; None means the whole mini-batch. It changes memory and
    speed, not the update."""
    epochs: int = Field(default=4, ge=1)
    """Passes over a rollout batch."""
    target_kl: float = Field(default=0.1, gt=0)
    """Mean nats per token between old and new policy; beyond 1.5 × this the batch stops early."""
    clip_range: float = Field(default=0.2, gt=0)
    clip_high: float | None = Field(default=None, gt=0)
    """Upper clip range (DAPO's clip-higher); None means `clip_range`."""
    over: Literal["tokens", "sequences", "constant"] = "tokens"
    """Mean of the loss over all tokens of a mini-batch, over each completion and then over
    completions, or the sum divided by completions × `max_new_tokens`."""
    entropy_coefficient: float = Field(default=0.0, ge=0)
    missing_eos_penalty: float = Field(default=1.0, ge=0)
    """Subtracted from the reward of a completion that was cut off."""
    truncated: Literal["keep", "mask"] = "keep"
    """Whether completions that were cut off are learnt from; `mask` leaves them out of the loss."""
    soft_limit: int | None = Field(default=None, ge=1)
    """Last tokens before `max_new_tokens` over which a penalty grows from 0 to 1 (DAPO)."""
    max_new_tokens: int = Field(default=1024, ge=1)
    temperature: float = Field(default=1.0, gt=0)
    max_grad_norm: float = Field(default=1.0, gt=0)
    quorum: float = Field(default=0.5, gt=0, le=1)
    """Lowest share of a batch that must have a reward."""
    patience_s: float = Field(default=600.0, ge=0)
    """Seconds to wait for the quorum; then the run writes a checkpoint and stops."""
    preflight: bool = True
    """Before the first step: the rewards must tell good answers from bad ones, those of the first
    batch must differ, and the longest batch must fit in memory."""
    alarms: Alarms = Alarms()
    held_out: tuple[Path, ...] = ()
    """Files of questions that are not trained on; the best version is the one that answers them
    best. Without any it is the one with the highest reward."""
    held_out_every: int = Field(default=5, ge=1)
    """Rollout batches between two looks at them."""
    save_every: int = Field(default=10, ge=1)
    """Rollout batches between checkpoints."""
    keep_versions: int = Field(default=3, ge=1)
    """Published versions kept on disk, not counting the final one."""

    @model_validator(mode="before")
    @classmethod
    def _whole_distribution(cls, fields: Any) -> Any:
        found = [name for name in NOT_SAMPLED if isinstance(fields, dict) and name in fields]
        if found:
            raise ValueError(
                f"`{found[0]}`: rollouts are drawn from the whole distribution, or the ratio of "
                "new to old policy would be wrong by what is cut off; leave it out"
            )
        return fields

    @model_validator(mode="after")
    def _batches_divide(self) -> Self:
        if self.batch_size % self.mini_batch_size:
            raise ValueError("`batch_size` must be a multiple of `mini_batch_size`")
        if self.batch_size % self.generations:
            raise ValueError("`batch_size` must be a multiple of `generations`")
        if self.publish == "adapter" and self.lora is None:
            raise ValueError("`publish: adapter` needs `lora`; full training publishes `merged`")
        return self

    @model_validator(mode="after")
    def _corrected(self) -> Self:
        if self.staleness and self.correction is None:
            raise ValueError(
                "`staleness` above 0 learns from an older policy's answers and needs `correction`"
            )
        return self

    @model_validator(mode="after")
    def _rewarded(self) -> Self:
        if self.needs_rewards and not self.rewards.is_asked:
            raise ValueError("`rewards`: `judge`, `exact` or a `model` must be above 0")
        if self.rewards.normalise == "group" and self.generations == 1:
            raise ValueError(
                "`rewards.normalise: group` would make the score of a prompt's only answer 0: set "
                "`generations`, or `normalise: batch`"
            )
        return self

    @property
    def needs_rewards(self) -> bool:
        return True

    @property
    def steps_per_batch(self) -> int:
        """Optimizer steps for one rollout batch."""
        return self.epochs * self.batch_size // self.mini_batch_size

    @property
    def clip_to(self) -> tuple[float, float]:
        """The range that the probability ratio is clipped to."""
        return 1 - self.clip_range, 1 + (self.clip_high or self.clip_range)

    @property
    def needs_reference(self) -> bool:
        """Whether log-probabilities of the untrained policy are computed."""
        return True
