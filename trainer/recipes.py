"""Recipes: YAML files as frozen models, fully checked before torch is imported.

The defaults suit Qwen3-1.7B; the demo's YAML files override them.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from galen.digest import of_json
from galen.errors import RecipeError
from galen.settings import Settings, apply_overrides, read_yaml, validated


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


class RunSettings(Settings):
    """Fields of every stage: the run's name and folder, the seed, threads."""

    run: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")
    runs: Path = Path("runs")
    seed: int = Field(default=17, ge=0)
    cpu_threads: int | None = Field(default=None, ge=1)
    """Threads for torch; None lets torch decide. A tiny model wants no more than 2."""

    @property
    def folder(self) -> Path:
        return self.runs / self.run

    @property
    def sha256(self) -> str:
        """Hash of every field that the result depends on; folders, ports and threads are not."""
        elsewhere: Any = {
            "runs": True,
            "cpu_threads": True,
            "services": {"server", "judge", "concurrency", "allow_unqualified", "drift_every"},
        }
        return of_json(self.model_dump(mode="json", exclude=elsewhere))


class SftRecipe(RunSettings):
    """Supervised fine-tuning (`trl.SFTTrainer`); the loss is over the completion's tokens only."""

    stage: Literal["sft"]
    model: Path | None = None
    """Folder of the model to start from; omitted if `demo_model` makes one."""
    demo_model: DemoModel | None = None
    train: tuple[Path, ...] = Field(min_length=1)
    """JSON-lines files of `galen.records.Row`."""
    use_instruction: bool = True
    """Whether a row's instruction becomes the system message."""
    lora: Lora | None = Lora()
    """None trains every parameter."""
    merge: bool = True
    """Merge the adapter into the model that `final/` holds."""
    learning_rate: float = Field(default=2e-4, gt=0)
    epochs: float = Field(default=3, gt=0)
    batch_size: int = Field(default=4, ge=1)
    gradient_accumulation: int = Field(default=1, ge=1)
    warmup_ratio: float = Field(default=0.03, ge=0, lt=1)
    max_length: int = Field(default=2048, ge=8)
    """Most tokens of prompt and completion; a longer row is an error, never truncated."""
    save_steps: int = Field(default=200, ge=1)

    @model_validator(mode="after")
    def _one_model(self) -> Self:
        if (self.model is None) == (self.demo_model is None):
            raise ValueError("give exactly one of `model` and `demo_model`")
        if self.demo_model is not None and self.lora is not None:
            raise ValueError(
                "a demo model has no trained weights: set `lora: null` to train all of it"
            )
        return self


class Services(Settings):
    """Addresses and use of the two services. The key comes from `GALEN_KEY`."""

    server: str = "http://127.0.0.1:8000"
    judge: str = "http://127.0.0.1:8001"
    concurrency: int = Field(default=32, ge=1)
    """Most requests for completions at once."""
    rubric: str = "medical-safety"
    allow_mock: bool = False
    """Whether rewards may come from the judge's mock teacher; for rehearsals only."""
    allow_unqualified: bool = False
    """Allow a teacher that has not passed its examination (`galen judge qualify`)."""
    drift_every: int = Field(default=50, ge=0)
    """Rollout batches between two checks of the judge's anchors; 0 disables them."""


class Critic(Settings):
    """The value function: a token classifier with one label, separate from the policy."""

    model: Path | None = None
    """Folder to start from; None means the policy's base."""
    layers: int | None = Field(default=None, ge=1)
    """Keep only the first `layers` layers; None keeps all."""
    learning_rate: float | None = Field(default=None, gt=0)
    """None means the policy's learning rate."""


class KlControl(Settings):
    """The reward's penalty on distance from the reference policy, with an adaptive coefficient."""

    coefficient: float = Field(default=0.2, ge=0)
    """The initial coefficient β."""
    target: float = Field(default=6.0, gt=0)
    """The KL that the controller aims at, in nats per completion."""
    horizon: int = Field(default=10_000, ge=1)
    """Samples over which the controller acts; a shorter horizon reacts faster."""


class PpoRecipe(RunSettings):
    """Proximal policy optimisation against the judge, with rollouts from the policy server."""

    stage: Literal["ppo"]
    model: Path
    """Folder of the policy to improve: the weights that the server calls `base`."""
    prompts: tuple[Path, ...] = Field(min_length=1)
    """JSON-lines files of `galen.records.PromptRow`."""
    use_instruction: bool = True
    lora: Lora | None = Lora()
    publish: Literal["adapter", "merged"] = "adapter"
    """What the server loads: adapters suit a GPU, merged weights are far faster on a CPU."""
    services: Services = Services()
    critic: Critic = Critic()
    kl: KlControl = KlControl()
    learning_rate: float = Field(default=1.41e-5, gt=0)
    batches: int = Field(default=500, ge=1)
    """Rollout batches; each ends with a published version."""
    batch_size: int = Field(default=4, ge=1)
    mini_batch_size: int = Field(default=1, ge=1)
    ppo_epochs: int = Field(default=4, ge=1)
    target_kl: float = Field(default=0.1, gt=0)
    """Mean nats per token between old and new policy; beyond 1.5 × this the batch stops early."""
    gamma: float = Field(default=1.0, gt=0, le=1)
    lam: float = Field(default=0.95, gt=0, le=1)
    clip_range: float = Field(default=0.2, gt=0)
    value_clip_range: float = Field(default=0.2, gt=0)
    value_coefficient: float = Field(default=0.1, ge=0)
    importance_cap: float | None = Field(default=2.0, ge=1)
    """Cap of the importance weights for differences between engine and trainer; None disables
    them."""
    missing_eos_penalty: float = Field(default=1.0, ge=0)
    """Subtracted from the reward of a completion that was cut off."""
    max_new_tokens: int = Field(default=1024, ge=1)
    temperature: float = Field(default=1.0, gt=0)
    max_grad_norm: float = Field(default=1.0, gt=0)
    quorum: float = Field(default=0.5, gt=0, le=1)
    """Lowest share of a batch that must have a reward."""
    patience_s: float = Field(default=600.0, ge=0)
    """Seconds to wait for the quorum; then the run writes a checkpoint and stops."""
    save_every: int = Field(default=10, ge=1)
    """Rollout batches between checkpoints."""
    keep_versions: int = Field(default=3, ge=1)
    """Published versions kept on disk, not counting the final one."""

    @model_validator(mode="after")
    def _batches_divide(self) -> Self:
        if self.batch_size % self.mini_batch_size:
            raise ValueError("`batch_size` must be a multiple of `mini_batch_size`")
        if self.publish == "adapter" and self.lora is None:
            raise ValueError("`publish: adapter` needs `lora`; full training publishes `merged`")
        return self

    @property
    def steps_per_batch(self) -> int:
        """Optimizer steps for one rollout batch."""
        return self.ppo_epochs * self.batch_size // self.mini_batch_size


class CompareRecipe(RunSettings):
    """Two policies on held-out prompts, judged under one rubric."""

    stage: Literal["compare"]
    model: Path
    """Folder of the tokenizer and chat template for both policies."""
    baseline: str = "base"
    """A version's name, or `run:<name>` for what a finished run published last."""
    candidate: str
    prompts: tuple[Path, ...] = Field(min_length=1)
    use_instruction: bool = True
    samples: int = Field(default=4, ge=1)
    """Completions for each prompt and policy."""
    max_new_tokens: int = Field(default=1024, ge=1)
    temperature: float = Field(default=1.0, ge=0)
    resamples: int = Field(default=10_000, ge=100)
    """Bootstrap resamples of the prompts."""
    services: Services = Services()


_STAGES: dict[str, type[RunSettings]] = {
    "sft": SftRecipe,
    "ppo": PpoRecipe,
    "compare": CompareRecipe,
}
Recipe = SftRecipe | PpoRecipe | CompareRecipe


def load(path: Path, overrides: Sequence[str] = ()) -> Recipe:
    """Read a recipe and apply `field=value` overrides. Raises `RecipeError`, which names every
    wrong field."""
    fields = apply_overrides(read_yaml(path), overrides)
    stage = fields.get("stage")
    model = _STAGES.get(stage) if isinstance(stage, str) else None
    if model is None:
        raise RecipeError(f"{path}: `stage` must be one of {', '.join(_STAGES)}, found {stage!r}")
    recipe = validated(model, fields, str(path))
    assert isinstance(recipe, SftRecipe | PpoRecipe | CompareRecipe)
    return recipe
