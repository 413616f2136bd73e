"""The memory that training takes on a CPU, beside the estimate that `--dry-run` prints.

GALEN_REAL_MODEL names the model (Qwen2.5-0.5B). Each case is two steps of one row of 2,048 tokens
in a process of its own; measured is its peak over what it took after the imports. The naive head is
the model's own loss, which holds the logits of all tokens.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks._results import as_met, record
from trainer import memory, recipes

MODEL = "GALEN_REAL_MODEL"
LENGTH = 2048
WORDS = 1990
"""Of an answer, one token each: with the template the row has some 2,020 tokens."""
ANSWER = "医生" * WORDS
CASES: dict[str, dict[str, Any]] = {
    "SFT, LoRA": {"stage": "sft", "lora": {"r": 8, "alpha": 16}},
    "SFT, LoRA, checkpointing": {
        "stage": "sft",
        "lora": {"r": 8, "alpha": 16},
        "gradient_checkpointing": True,
    },
    "SFT, all parameters": {"stage": "sft", "lora": None, "gradient_checkpointing": True},
    "DPO, LoRA, checkpointing": {
        "stage": "dpo",
        "lora": {"r": 8, "alpha": 16},
        "gradient_checkpointing": True,
        "dev_share": 0,
    },
}


def main() -> None:
    if MODEL not in os.environ:
        print(f"skipped: {MODEL} names no folder of a real model")
        return
    model = Path(os.environ[MODEL]).resolve()
    shape = memory.shape_of(json.loads((model / "config.json").read_text("utf-8")))
    rows: list[tuple[str, str, str]] = []
    with tempfile.TemporaryDirectory() as name:
        for number, (case, fields) in enumerate(CASES.items()):
            recipe = _recipe(Path(name), model, str(number), fields)
            said = memory.training_bytes(recipe, shape, on_gpu=False) / 1e9
            peak = _peak(Path(name), recipe, "recipe")
            print(f"{case}: {peak:.2f} GB, estimated {said:.2f}", flush=True)
            target = as_met(abs(said / peak - 1) <= 0.15, "within 15 %")
            rows.append((case, f"{peak:.1f} GB, estimated {said:.1f}", target))
            if number == 1:
                naive = _peak(Path(name), _recipe(Path(name), model, "naive", fields), "naive")
                target = as_met(peak / naive <= 0.6, "at most 0.6")
                rows.append(("its ratio to a naive head", f"{peak / naive:.2f}", target))
    record(__file__, rows)


def _recipe(folder: Path, model: Path, run: str, fields: dict[str, Any]) -> Any:
    data = folder / f"{fields['stage']}.jsonl"
    pair = {"prompt": "头痛怎么办？", "chosen": ANSWER, "rejected": "检查" * WORDS}
    messages = [("user", pair["prompt"]), ("assistant", ANSWER)]
    talk = {"messages": [{"role": role, "content": text} for role, text in messages]}
    row = pair if fields["stage"] == "dpo" else talk
    data.write_text((json.dumps(row) + "\n") * 2)
    return recipes.STAGES[fields["stage"]].model_validate(
        {
            **{"run": run, "runs": str(folder / "runs"), "model": str(model), "train": [str(data)]},
            **{"max_steps": 2, "batch_size": 1, "max_length": LENGTH, **fields},
        }
    )


def _peak(folder: Path, recipe: Any, how: str) -> float:
    """In GB."""
    file = folder / f"{recipe.run}.json"
    file.write_text(recipe.model_dump_json())
    command = [sys.executable, "-m", "benchmarks._train", str(file), how]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return float(json.loads(done.stdout.splitlines()[-1])["peak"]) / 1e9


if __name__ == "__main__":
    main()
