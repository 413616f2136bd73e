"""Samples per second of GRPO: the whole loop with its server and judge, and `trl.GRPOTrainer`.

Twice: from the sanity model (`galen train configs/recipes/sanity/sft.yaml`, or the folder in
GALEN_SANITY_MODEL) with the numbers of its recipe, and from a Qwen3 of about 60 M random parameters
that ends its answers by chance, after 16 to 512 tokens mostly. Both sides have the same questions,
sizes, LoRA, exact reward and two threads. TRL generates by itself, in the trainer's process; it
takes its turn before ours and after it. The first batch of each turn is not counted.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks import _services
from benchmarks._results import as_met, record
from benchmarks._server import policy_server

MODEL_VARIABLE = "GALEN_SANITY_MODEL"
PROMPTS = _services.ROOT / "data/sanity/rl_prompts.jsonl"


@dataclass(frozen=True)
class Sizes:
    """One comparison."""

    name: str
    batches: int
    samples: int
    """Completions of a batch."""
    generations: int
    steps: int
    """Optimizer steps of a batch."""
    tokens: int
    """Most of a completion."""
    rate: float
    target: float
    """Least ratio of the two speeds."""


SIZES = (
    Sizes("1 M parameters", 6, 128, 8, 4, 24, 1e-3, 1.0),
    Sizes("60 M parameters", 2, 32, 4, 2, 512, 1e-5, 2.0),
)


def main() -> None:
    sanity = Path(os.environ.get(MODEL_VARIABLE, "runs/sanity-sft/final")).resolve()
    if not sanity.is_dir():
        print(f"skipped: no model in {sanity}; galen train configs/recipes/sanity/sft.yaml")
        return
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        random = Path(folder) / "random"
        command = [sys.executable, "-m", "benchmarks._random_model", str(random)]
        subprocess.run(command, env=_services.ours(), check=True)
        for model, sizes in zip((sanity, random), SIZES, strict=True):
            rows += _compared(model, sizes)
    record(__file__, rows)


def _compared(model: Path, sizes: Sizes) -> list[tuple[str, str, str]]:
    theirs = _trl(model, sizes)
    ours = _ours(model, sizes)
    theirs += _trl(model, sizes)
    rates = [
        sizes.samples / statistics.median(row["seconds"] for row in rows) for rows in (ours, theirs)
    ]
    tokens = [statistics.fmean(row["tokens"] for row in rows) for rows in (ours, theirs)]
    ratio = rates[0] / rates[1]
    waited = statistics.median(row["waited"] / row["seconds"] for row in ours)
    return [
        (f"{sizes.name}: TRL's GRPOTrainer", f"{rates[1]:.2f} samples/s", "-"),
        (f"{sizes.name}: ours, with server and judge", f"{rates[0]:.2f} samples/s", "-"),
        (
            f"{sizes.name}: tokens of a completion, ours and TRL's",
            f"{tokens[0]:.0f}, {tokens[1]:.0f}",
            "-",
        ),
        (f"{sizes.name}: ours, share of rollout and judge", f"{waited:.0%}", "-"),
        (
            f"{sizes.name}: ratio",
            f"{ratio:.2f}",
            as_met(ratio >= sizes.target, f"at least {sizes.target:g}"),
        ),
    ]


def _ours(model: Path, sizes: Sizes) -> list[dict[str, float]]:
    """Seconds and tokens of each batch after the first, from the run's own figures."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        os.environ["GALEN_BENCHMARK_MODEL"] = str(model)
        settings = ["server.engine.dtype=float32", "server.engine.threads=2"]
        with policy_server(folder, settings=settings) as server, _services.judge(folder) as judge:
            recipe = _recipe(model, sizes, folder, server.port, judge)
            (folder / "grpo.yaml").write_text(json.dumps(recipe), "utf-8")
            command = [sys.executable, "-m", "cli.main", "train", str(folder / "grpo.yaml")]
            subprocess.run(command, env=_services.ours(), check=True)
        lines = (folder / "run/metrics.jsonl").read_text("utf-8").splitlines()
    batches = [row for row in map(json.loads, lines) if "batch" in row][1:]
    return [
        {"seconds": row["step_s"], "tokens": row["tokens_mean"], "waited": row["wait_s"]}
        for row in batches
    ]


def _recipe(model: Path, sizes: Sizes, folder: Path, server: int, judge: int) -> dict[str, Any]:
    """With a trace of entropy in the loss all answers are computed, also those that earned alike,
    which is what TRL does."""
    return {
        "stage": "grpo", "run": "run", "runs": str(folder), "model": str(model), "cpu_threads": 2,
        "prompts": [str(PROMPTS)], "lora": {"r": 32, "alpha": 64, "dropout": 0.0},
        "services": {
            "server": f"http://127.0.0.1:{server}", "judge": f"http://127.0.0.1:{judge}",
        },
        "publish": "merged", "rewards": {"judge": 0, "exact": 1}, "learning_rate": sizes.rate,
        "batches": sizes.batches, "batch_size": sizes.samples, "generations": sizes.generations,
        "epochs": 1, "mini_batch_size": sizes.samples // sizes.steps, "micro_batch_size": 8,
        "beta": 0.0, "entropy_coefficient": 1e-9, "temperature": 1.0, "save_every": 100,
        "max_new_tokens": sizes.tokens, "preflight": False,
    }  # fmt: skip


def _trl(model: Path, sizes: Sizes) -> list[dict[str, float]]:
    """The same of TRL, in a process of its own."""
    command = [sys.executable, "-m", "benchmarks._trl_grpo", str(model), json.dumps(asdict(sizes))]
    done = subprocess.run(
        command, env=_services.ours(), check=True, stdout=subprocess.PIPE, text=True
    )
    rows: list[dict[str, float]] = json.loads(done.stdout.splitlines()[-1])
    return rows


if __name__ == "__main__":
    main()
