"""Samples per second of GRPO: the whole loop with its server and judge, and `trl.GRPOTrainer`.

Both start from the sanity model (`galen train configs/recipes/sanity/sft.yaml`, or the folder in
GALEN_SANITY_MODEL), with the same questions, 128 completions of at most 24 tokens a batch, eight to
a question, four optimizer steps, the same LoRA and the same exact reward. TRL generates by itself,
in the trainer's process; it takes its turn before ours and after it. The first batch of each turn
is not counted.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks import _services
from benchmarks._results import as_met, record
from benchmarks._server import policy_server

MODEL_VARIABLE = "GALEN_SANITY_MODEL"
PROMPTS = _services.ROOT / "data/sanity/rl_prompts.jsonl"
BATCHES, SAMPLES, GENERATIONS, STEPS, TOKENS = 8, 128, 8, 4, 24
RATE = 1e-3
TARGET = 1.0


def main() -> None:
    model = Path(os.environ.get(MODEL_VARIABLE, "runs/sanity-sft/final")).resolve()
    if not model.is_dir():
        print(f"skipped: no model in {model}; galen train configs/recipes/sanity/sft.yaml")
        return
    theirs = _trl(model)
    ours = _ours(model)
    theirs += _trl(model)
    rates = {
        name: SAMPLES / statistics.median(row["seconds"] for row in rows)
        for name, rows in (("ours", ours), ("TRL", theirs))
    }
    tokens = [statistics.fmean(row["tokens"] for row in rows) for rows in (ours, theirs)]
    ratio = rates["ours"] / rates["TRL"]
    record(
        __file__,
        [
            ("TRL's GRPOTrainer", f"{rates['TRL']:.1f} samples/s", "-"),
            ("ours, with server and judge", f"{rates['ours']:.1f} samples/s", "-"),
            ("tokens of a completion, ours and TRL's", f"{tokens[0]:.1f}, {tokens[1]:.1f}", "-"),
            ("ratio", f"{ratio:.2f}", as_met(ratio >= TARGET, f"at least {TARGET}")),
        ],
    )


def _ours(model: Path) -> list[dict[str, float]]:
    """Seconds and tokens of each batch after the first, from the run's own figures."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        os.environ["GALEN_BENCHMARK_MODEL"] = str(model)
        precise = ["server.engine.dtype=float32"]
        with policy_server(folder, settings=precise) as server, _services.judge(folder) as judge:
            recipe = _recipe(model, folder, server.port, judge)
            (folder / "grpo.yaml").write_text(json.dumps(recipe), "utf-8")
            command = [sys.executable, "-m", "cli.main", "train", str(folder / "grpo.yaml")]
            subprocess.run(command, env=_services.ours(), check=True)
        lines = (folder / "run/metrics.jsonl").read_text("utf-8").splitlines()
    batches = [row for row in map(json.loads, lines) if "batch" in row][1:]
    return [{"seconds": row["step_s"], "tokens": row["tokens_mean"]} for row in batches]


def _recipe(model: Path, folder: Path, server: int, judge: int) -> dict[str, Any]:
    return {
        "stage": "grpo", "run": "run", "runs": str(folder), "model": str(model), "cpu_threads": 2,
        "prompts": [str(PROMPTS)], "lora": {"r": 32, "alpha": 64, "dropout": 0.0},
        "services": {
            "server": f"http://127.0.0.1:{server}", "judge": f"http://127.0.0.1:{judge}",
        },
        "publish": "merged", "rewards": {"judge": 0, "exact": 1}, "learning_rate": RATE,
        "batches": BATCHES, "batch_size": SAMPLES, "generations": GENERATIONS, "epochs": 1,
        "mini_batch_size": SAMPLES // STEPS, "beta": 0.0, "max_new_tokens": TOKENS,
        "save_every": 100,
    }  # fmt: skip


def _trl(model: Path) -> list[dict[str, float]]:
    """The same of TRL, in a process of its own."""
    command = [sys.executable, "-m", "benchmarks._trl_grpo", str(model)]
    done = subprocess.run(
        command, env=_services.ours(), check=True, stdout=subprocess.PIPE, text=True
    )
    rows: list[dict[str, float]] = json.loads(done.stdout.splitlines()[-1])
    return rows


if __name__ == "__main__":
    main()
