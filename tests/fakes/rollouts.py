"""Rollouts that no service made: as values, from a queue, or drawn from the model itself."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, get_peft_model
from torch import nn
from transformers import AutoModelForCausalLM

from galen.errors import TrainingStopped
from galen.records import Meta, PromptRow
from judge.schemas import ItemError, ScoreResult
from server.schemas import TokenCompletion
from trainer import demo_model
from trainer.model import completion_logprobs, pack
from trainer.recipes import DemoModel
from trainer.rl.rollout import Question, Rollout

META = Meta(
    source="test",
    risk_level="low",
    specialty="internal",
    complexity=1,
    lang_style="plain",
    is_deidentified=True,
)
TEXTS = ["头痛两天怎么办？建议尽快就医检查。"] * 20


def write_toy(folder: Path) -> Path:
    """A Qwen3 of two layers that has learnt nothing."""
    demo_model.build(DemoModel(vocabulary=400, hidden=64, layers=2), TEXTS, folder, seed=3)
    return folder


def write_adapter(base: Path, folder: Path, seed: int = 0, **changes: Any) -> Path:
    """A PEFT adapter for `base` that changes what it says."""
    torch.manual_seed(seed)
    fields: dict[str, Any] = {"r": 4, "lora_alpha": 8, "target_modules": "all-linear", **changes}
    policy = get_peft_model(
        AutoModelForCausalLM.from_pretrained(base), LoraConfig(task_type="CAUSAL_LM", **fields)
    )
    with torch.no_grad():
        for name, parameter in policy.named_parameters():
            if "lora_B" in name:
                parameter.normal_(std=0.1)
    policy.save_pretrained(folder)
    return folder


def row_of(name: str, text: str = "头痛怎么办？") -> PromptRow:
    return PromptRow(id=name, input=text, meta=META)


def verdict(reward: float | None, *, retryable: bool = True, **changes: Any) -> ScoreResult:
    """A teacher's judgement, or without a reward a failed one."""
    is_failed = reward is None
    error = ItemError(code="unavailable", message="out of reach", retryable=retryable)
    facts: dict[str, Any] = {
        "id": "item",
        "status": "failed" if is_failed else "ok",
        "reward": reward,
        "rules": None,
        "teacher": None,
        "provider": "none" if is_failed else "teacher.example",
        "error": error if is_failed else None,
        **changes,
    }
    return ScoreResult(**facts)


def rollout_of(
    reward: float | None,
    token_ids: tuple[int, ...] = (5, 6, 7),
    *,
    name: str = "q1",
    prompt_ids: tuple[int, ...] = (1, 2, 3),
    finish_reason: str = "stop",
    logprobs: tuple[float, ...] | None = None,
    group: int = 0,
    **changes: Any,
) -> Rollout:
    completion = TokenCompletion(
        token_ids=token_ids,
        logprobs=logprobs or (-1.0,) * len(token_ids),
        text="建议就医",
        finish_reason=finish_reason,
        version="base",
    )
    question = Question(row_of(name), prompt_ids)
    return Rollout(f"item-{name}", question, completion, verdict(reward, **changes), group)


def facts_of(rollouts: list[Rollout]) -> dict[str, Any]:
    """What a source says about a batch, as far as the trainer's log needs it."""
    return {"reward_mean": sum(r.result.reward or 0.0 for r in rollouts) / len(rollouts)}


@dataclass
class QueuedRollouts:
    """A `RolloutSource` that hands out what was queued, batch by batch."""

    queue: deque[list[Rollout]]

    def draw(
        self, policy: nn.Module, batch: int, step: int
    ) -> tuple[list[Rollout], dict[str, Any]]:
        rollouts = self.queue.popleft()
        return rollouts, facts_of(rollouts)


@dataclass
class ModelRollouts:
    """A `RolloutSource` that samples from the policy itself; batch n is the same for a seed.

    It stops the run at the batches in `stop_at`, once each.
    """

    reward: Callable[[tuple[int, ...]], float]
    size: int
    tokens: int = 2
    prompt_ids: tuple[int, ...] = (1, 2, 3)
    stop_at: set[int] = field(default_factory=set)
    drawn: list[int] = field(default_factory=list)

    def draw(
        self, policy: nn.Module, batch: int, step: int
    ) -> tuple[list[Rollout], dict[str, Any]]:
        if batch in self.stop_at:
            self.stop_at.remove(batch)
            raise TrainingStopped("the judge is away")
        self.drawn.append(batch)
        rollouts = self._sample(policy, torch.Generator().manual_seed(batch))
        return rollouts, facts_of(rollouts)

    @torch.no_grad()
    def _sample(self, policy: nn.Module, generator: torch.Generator) -> list[Rollout]:
        ids_BT = torch.tensor([self.prompt_ids] * self.size)
        for _ in range(self.tokens):
            probabilities_BV = policy(input_ids=ids_BT).logits[:, -1].softmax(-1)
            chosen_B1 = torch.multinomial(probabilities_BV, 1, generator=generator)
            ids_BT = torch.cat([ids_BT, chosen_B1], dim=1)
        drawn = [tuple(row) for row in ids_BT[:, len(self.prompt_ids) :].tolist()]
        batch = pack([self.prompt_ids] * self.size, drawn, pad=0)
        logprobs = completion_logprobs(policy, batch).tolist()
        return [
            rollout_of(self.reward(ids), ids, prompt_ids=self.prompt_ids, logprobs=tuple(own))
            for ids, own in zip(drawn, logprobs, strict=True)
        ]
