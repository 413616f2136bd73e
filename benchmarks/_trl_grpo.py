"""TRL's own GRPO with the numbers of `rl_speed`: `python -m benchmarks._trl_grpo MODEL SIZES`.

Prints the seconds and the mean tokens of each batch after the first, as JSON in the last line.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from peft import LoraConfig
from transformers import TrainerCallback
from trl import GRPOConfig, GRPOTrainer

from benchmarks._own_rollouts import FORM
from benchmarks.rl_speed import PROMPTS, Sizes
from trainer.model import load_policy, load_tokenizer


class Clock(TrainerCallback):
    """When each optimizer step ended."""

    def __init__(self) -> None:
        self.ends: list[float] = []

    def on_step_end(self, *_: Any, **__: Any) -> None:
        self.ends.append(time.perf_counter())


def exact(completions: list[Any], gold: list[str], **_: Any) -> list[float]:
    """0.3 for the form, 0.7 for the right answer."""
    rewards = []
    for completion, right in zip(completions, gold, strict=True):
        text = completion[0]["content"]
        found = FORM.fullmatch(text)
        stated = found[1] if found else text.rpartition("</think>")[2]
        rewards.append(0.3 * bool(found) + 0.7 * (stated.strip() == right))
    return rewards


def main(model: Path, sizes: Sizes) -> None:
    torch.set_num_threads(2)
    rows = [json.loads(line) for line in PROMPTS.read_text("utf-8").splitlines()]
    asked = [
        {"prompt": [{"role": "user", "content": row["input"]}], "gold": row["gold"]} for row in rows
    ]
    clock = Clock()
    with tempfile.TemporaryDirectory() as folder:
        trainer = GRPOTrainer(
            model=load_policy(model),
            reward_funcs=exact,
            args=GRPOConfig(
                output_dir=folder,
                per_device_train_batch_size=8,
                gradient_accumulation_steps=sizes.samples // sizes.steps // 8,
                generation_batch_size=sizes.samples,
                num_generations=sizes.generations,
                max_completion_length=sizes.tokens,
                max_steps=sizes.batches * sizes.steps,
                learning_rate=sizes.rate,
                beta=0.0,
                logging_steps=sizes.steps,
                save_strategy="no",
                report_to="none",
                use_cpu=True,
                bf16=False,
                gradient_checkpointing=False,
                disable_tqdm=True,
            ),
            train_dataset=Dataset.from_list(asked),
            processing_class=load_tokenizer(model),
            peft_config=LoraConfig(r=32, lora_alpha=64, target_modules="all-linear"),
            callbacks=[clock],
        )
        trainer.train()
    ends = clock.ends[sizes.steps - 1 :: sizes.steps]
    logged = [row["completions/mean_length"] for row in trainer.state.log_history if "loss" in row]
    found = [
        {"seconds": end - start, "tokens": tokens}
        for start, end, tokens in zip(ends[:-1], ends[1:], logged[1 : len(ends)], strict=True)
    ]
    print(json.dumps(found))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Sizes(**json.loads(sys.argv[2])))
