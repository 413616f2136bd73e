"""What failing judge calls cost: against none, with failures left out and with failures scored 0.

PPO and GRPO learn on the sanity model (`galen train configs/recipes/sanity/sft.yaml`, or the folder
in GALEN_SANITY_MODEL) which of three numbers is largest, each with five seeds and in three ways: no
failure, 30 % of the rewards failing, and 30 % scored 0. The rewards are exact and drawn in this
process; what is measured is the mean reward on held-out questions, paired by seed, with its 95 %
interval by Student's t.
"""

from __future__ import annotations

import os
import random
import statistics
import tempfile
from pathlib import Path
from typing import Any

from transformers import set_seed

from benchmarks._own_rollouts import OwnRollouts
from benchmarks._results import as_met, record
from trainer.model import load_tokenizer
from trainer.recipes import GrpoRecipe, PpoRecipe, RlRecipe
from trainer.rl import stage
from trainer.rl.actor_critic import ActorCritic
from trainer.rl.algorithms import Algorithm
from trainer.rl.algorithms.grpo import Grpo
from trainer.rl.algorithms.ppo import Ppo
from trainer.rl.rollouts.questions import load_questions
from trainer.rl.trainer import RlTrainer
from trainer.runs import Run

MODEL_VARIABLE = "GALEN_SANITY_MODEL"
PROMPTS, HELD_OUT = Path("data/sanity/rl_prompts.jsonl"), Path("data/sanity/held_out.jsonl")
SEEDS = range(1, 6)
FAILING = 0.3
T_975 = 2.776
"""Student's t for four degrees of freedom."""
COMMON: dict[str, Any] = {
    "prompts": [PROMPTS], "lora": {"r": 32, "alpha": 64, "dropout": 0.0}, "publish": "merged",
    "rewards": {"judge": 0, "exact": 1}, "learning_rate": 1e-3, "batches": 12, "batch_size": 64,
    "mini_batch_size": 16, "max_new_tokens": 24, "temperature": 1.0, "save_every": 100,
    "alarms": {"still": None}, "preflight": False,
}  # fmt: skip
STAGES: dict[str, dict[str, Any]] = {
    "ppo": {
        "epochs": 2, "lam": 0.98, "kl": {"coefficient": 0.01, "horizon": None},
        "critic": {"layers": 2, "learning_rate": 1e-3},
    },
    "grpo": {"epochs": 1, "generations": 8, "beta": 0.0},
}  # fmt: skip


def kept(reward: float, _: random.Random) -> float | None:
    return reward


def failing(reward: float, chance: random.Random) -> float | None:
    return None if chance.random() < FAILING else reward


def zeroed(reward: float, chance: random.Random) -> float | None:
    return 0.0 if chance.random() < FAILING else reward


WAYS = {"none fails": kept, "30 % fail": failing, "30 % scored 0": zeroed}


def main() -> None:
    model = Path(os.environ.get(MODEL_VARIABLE, "runs/sanity-sft/final"))
    if not model.is_dir():
        print(f"skipped: no model in {model}; galen train configs/recipes/sanity/sft.yaml")
        return
    rows = []
    for name in STAGES:
        found = {
            way: [learnt(model, name, seed, fate) for seed in SEEDS] for way, fate in WAYS.items()
        }
        for way, rewards in found.items():
            rows.append(
                (f"{name}, {way}: held-out reward", f"{statistics.fmean(rewards):.3f}", "-")
            )
        for way, must_hold in (("30 % fail", True), ("30 % scored 0", False)):
            low, mean, high = difference(found["none fails"], found[way])
            target = as_met(low <= 0 <= high, "interval holds 0") if must_hold else "-"
            figure = f"{mean:+.3f} [{low:+.3f}, {high:+.3f}]"
            rows.append((f"{name}, {way}: difference from none failing", figure, target))
    record(__file__, rows)


def learnt(model: Path, name: str, seed: int, fate: Any) -> float:
    """The held-out reward of the policy after one run."""
    with tempfile.TemporaryDirectory() as folder:
        fields = {**COMMON, **STAGES[name], "stage": name, "run": "r", "runs": folder}
        kind = PpoRecipe if name == "ppo" else GrpoRecipe
        recipe: RlRecipe = kind.model_validate({**fields, "model": model, "seed": seed})
        algorithm: Algorithm
        algorithm = Ppo(recipe) if isinstance(recipe, PpoRecipe) else _grpo(recipe)
        tokenizer = load_tokenizer(model)
        set_seed(seed)
        networks = ActorCritic(recipe)
        questions = load_questions([PROMPTS], tokenizer, use_instruction=True)
        source = OwnRollouts(recipe, tokenizer, questions, fate)
        trainer = RlTrainer(
            model=networks,
            args=stage.arguments(recipe, Run(recipe)),
            recipe=recipe,
            algorithm=algorithm,
            source=source,
            pad=int(tokenizer.pad_token_id),
        )
        trainer.train()
        held_out = load_questions([HELD_OUT], tokenizer, use_instruction=True)
        return source.mean_reward(trainer.actor_critic.policy, held_out * 4, seed=99)


def _grpo(recipe: RlRecipe) -> Grpo:
    assert isinstance(recipe, GrpoRecipe)
    return Grpo(recipe)


def difference(before: list[float], after: list[float]) -> tuple[float, float, float]:
    """The mean of the paired differences between the ends of its interval."""
    pairs = [late - early for early, late in zip(before, after, strict=True)]
    mean = statistics.fmean(pairs)
    half = T_975 * statistics.stdev(pairs) / len(pairs) ** 0.5
    return mean - half, mean, mean + half


if __name__ == "__main__":
    main()
