"""DPO, ORPO, KTO and the reward model generalise: they prefer the better of answers never seen.

The demo model of `runs/demo-sft/final`, or the folder in GALEN_DEMO_MODEL, learns from pairs of
`data/demo/preferences.jsonl`. A fifth of the complaints is held out with all their pairs. Each of
five seeds chooses other complaints and another order. Figures are means over the seeds with their
95 % interval by Student's t.

    margin = log π(chosen) − log π(rejected), per token, mean over the held-out pairs
"""

from __future__ import annotations

import json
import os
import random
import statistics
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks._results import as_met, record
from benchmarks.demo_topic import MODEL_VARIABLE
from trainer import recipes
from trainer.data.example import Example, Message
from trainer.evaluate.statistics import Interval
from trainer.pipeline.scores import score
from trainer.train import train

PAIRS = Path("data/demo/preferences.jsonl")
LEARNT = 200
SEEDS = range(1, 6)
T_975 = 2.776
"""Student's t for four degrees of freedom."""
LORA = {"r": 32, "alpha": 64, "dropout": 0.0}
STAGES: dict[str, dict[str, Any]] = {
    "dpo": {"lora": LORA, "learning_rate": 2e-4},
    "orpo": {"lora": LORA, "learning_rate": 2e-4},
    "kto": {"lora": LORA, "learning_rate": 2e-4},
    "reward": {"lora": None, "learning_rate": 5e-4},
}
Pair = dict[str, str]


def main() -> None:
    model = Path(os.environ.get(MODEL_VARIABLE, "runs/demo-sft/final"))
    if not model.is_dir():
        print(f"skipped: no model in {model}; galen train configs/recipes/demo/sft.yaml")
        return
    found: dict[str, list[float]] = {stage: [] for stage in STAGES}
    with tempfile.TemporaryDirectory() as folder:
        for seed in SEEDS:
            learnt, held_out = _split(seed)
            examples = [
                Example((Message("user", pair["prompt"]),), pair["chosen"], pair["rejected"])
                for pair in held_out
            ]
            before = statistics.mean(score(model, examples, is_reward=False).margins)
            for stage in STAGES:
                final = train(_recipe(Path(folder), model, stage, seed, learnt))
                margins = score(final, examples, is_reward=stage == "reward").margins
                if stage == "reward":
                    found[stage].append(statistics.mean(margin > 0 for margin in margins))
                else:
                    found[stage].append(statistics.mean(margins) - before)
                print(f"seed {seed}, {stage}: {found[stage][-1]:.3f}", flush=True)
    table = []
    for stage, figures in found.items():
        interval = _interval(figures)
        if stage == "reward":
            what = "reward model: accuracy on held-out pairs"
            target = as_met(interval.low > 0.5, "interval above 0.5")
        else:
            what = f"{stage}: what the margin on held-out pairs rose by, in nats a token"
            target = as_met(interval.low > 0, "interval above 0")
        table.append((what, str(interval), target))
    record(__file__, table)


def _split(seed: int) -> tuple[list[Pair], list[Pair]]:
    """Pairs to learn from, and those of the complaints that are held out."""
    pairs = [json.loads(line) for line in PAIRS.read_text("utf-8").splitlines()]
    complaints = sorted({_complaint(pair) for pair in pairs})
    chance = random.Random(seed)
    held = set(chance.sample(complaints, len(complaints) // 5))
    known = [pair for pair in pairs if _complaint(pair) not in held]
    return chance.sample(known, LEARNT), [pair for pair in pairs if _complaint(pair) in held]


def _complaint(pair: Pair) -> str:
    """What a thought begins with."""
    return pair["chosen"].split("\n")[1].split("，")[0]


def _recipe(folder: Path, model: Path, stage: str, seed: int, pairs: Sequence[Pair]) -> Any:
    rows = _votes(pairs) if stage == "kto" else pairs
    data = folder / f"{stage}-{seed}.jsonl"
    data.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    fields = {
        "stage": stage,
        "run": f"{stage}-{seed}",
        "runs": folder,
        "seed": seed,
        "model": model,
        "train": [data],
        "dev_share": 0,
        "epochs": 1,
        "batch_size": 8,
        "max_length": 384,
        **STAGES[stage],
    }
    return recipes.STAGES[stage].model_validate(fields)


def _votes(pairs: Sequence[Pair]) -> list[dict[str, Any]]:
    return [
        {"prompt": pair["prompt"], "completion": pair[side], "label": side == "chosen"}
        for pair in pairs
        for side in ("chosen", "rejected")
    ]


def _interval(figures: Sequence[float]) -> Interval:
    mean = statistics.mean(figures)
    half = T_975 * statistics.stdev(figures) / len(figures) ** 0.5
    return Interval(mean, mean - half, mean + half)


if __name__ == "__main__":
    main()
