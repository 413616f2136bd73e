"""Does a real model learn by reinforcement learning, on two cores? An hour, once.

The folder in GALEN_REAL_MODEL (Qwen2.5-0.5B) gets a little SFT on the sanity pack, which shows it
the form, and then thirty steps of GRPO with exact rewards, drawn by vLLM on the CPU: what
`galen up` does with its own stack file. It learns a harder question of the same kind, since the
pack's own is no question to a real model: which of six numbers of three digits is the largest.
Measured are the right answers to questions that nothing was trained on, before and after, with 95 %
intervals.
A run that was killed goes on; all of it lies in `runs/real`.
"""

from __future__ import annotations

import json
import os
import random
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

from benchmarks import _services
from benchmarks._results import as_met, record
from trainer.evaluate.statistics import Interval, paired_bootstrap, share

MODEL_VARIABLE = "GALEN_REAL_MODEL"
FOLDER = Path("runs/real")
DATA = _services.ROOT / "data/sanity"
PORTS = {"server": 8200, "judge": 8201, "webui": 8202}
SERVICES = {
    "server": f"http://127.0.0.1:{PORTS['server']}", "judge": f"http://127.0.0.1:{PORTS['judge']}",
}  # fmt: skip
STEPS = 30
PROMPTS, HELD_OUT = 400, 150
LORA = {"r": 16, "alpha": 32, "dropout": 0.0}
COMMON: dict[str, Any] = {"cpu_threads": 2, "lora": LORA}
TUNING: dict[str, Any] = {
    **COMMON, "stage": "sft", "run": "real-sft", "train": [f"{DATA}/sft.jsonl"],
    "learning_rate": 5e-4, "max_steps": 16, "batch_size": 8, "max_length": 128,
}  # fmt: skip
LEARNING: dict[str, Any] = {
    **COMMON, "stage": "grpo", "run": "real-grpo", "model": "runs/real-sft/final",
    "prompts": ["prompts.jsonl"], "publish": "merged", "services": SERVICES,
    "rewards": {"judge": 0, "exact": 1}, "learning_rate": 5e-5, "batches": STEPS,
    "batch_size": 32, "generations": 4, "mini_batch_size": 16, "micro_batch_size": 8, "epochs": 1,
    "beta": 0.0, "temperature": 1.0, "max_new_tokens": 48, "save_every": 10, "keep_versions": 1,
}  # fmt: skip
COMPARING: dict[str, Any] = {
    "stage": "compare", "run": "real-compare", "model": "runs/real-sft/final",
    "candidate": "run:real-grpo", "prompts": ["held_out.jsonl"], "samples": 1,
    "reference": True, "max_new_tokens": 48, "temperature": 1.0,
    "services": {**SERVICES, "rubric": "finance"},
}  # fmt: skip


def main() -> None:
    if MODEL_VARIABLE not in os.environ:
        print(f"skipped: {MODEL_VARIABLE} names no folder of a real model")
        return
    model = Path(os.environ[MODEL_VARIABLE]).resolve()
    FOLDER.mkdir(parents=True, exist_ok=True)
    _write_questions()
    engine = {"dtype": "float32", "max_model_len": 512, "kv_cache_bytes": 512 * 1024**2}
    stack = {
        "name": "real",
        "server": {"model": "runs/real-sft/final", "engine": engine, "port": PORTS["server"]},
        "judge": {"port": PORTS["judge"]},
        "webui": {"port": PORTS["webui"]},
        "prepare": [_written("sft", {**TUNING, "model": str(model)})],
        "train": [_written("grpo", LEARNING)],
        "compare": _written("compare", COMPARING),
    }
    try:
        _galen("up", _written("stack", stack))
    finally:
        _galen("down")
    record(__file__, _rows())


def _write_questions() -> None:
    rng, rows = random.Random(1), []
    for number in range(PROMPTS + HELD_OUT):
        numbers = rng.sample(range(100, 1000), 6)
        asked = f"{'、'.join(map(str, numbers))}，哪个最大？"
        rows.append(json.dumps({"id": f"{number}", "input": asked, "gold": f"{max(numbers)}"}))
    for name, chosen in (("prompts", rows[HELD_OUT:]), ("held_out", rows[:HELD_OUT])):
        (FOLDER / f"{name}.jsonl").write_text("\n".join(chosen) + "\n", "utf-8")


def _written(name: str, fields: dict[str, Any]) -> str:
    """The file's name, relative to the folder in which `galen` runs."""
    (FOLDER / f"{name}.yaml").write_text(yaml.safe_dump(fields), "utf-8")
    return f"{name}.yaml"


def _galen(*arguments: str) -> None:
    command = [sys.executable, "-m", "cli.main", *arguments]
    subprocess.run(command, cwd=FOLDER, env=_services.ours(), check=True)


def _rows() -> list[tuple[str, str, str]]:
    """The held-out accuracy before and after, and where a step's time went."""
    results = json.loads((FOLDER / "runs/real-compare/comparison.json").read_text("utf-8"))[0]
    before_P, after_P = (_right(result["rows"]) for result in results["results"])
    gained = paired_bootstrap(before_P, after_P, 10_000, 0, least=1.0)
    return [
        ("held-out questions answered rightly, after SFT", _shown(share(before_P)), "-"),
        (f"after {STEPS} steps of GRPO", _shown(share(after_P)), "-"),
        ("difference", str(gained), as_met(gained.low > 0, "above 0")),
        *_steps(),
    ]


def _right(rows: list[dict[str, Any]]) -> list[float]:
    """1 for each right answer; it alone earns 0.7 (`finance`: 0.3 for the form, 0.7 for it)."""
    return [float(row["values"]["reward"] >= 0.65) for row in rows]


def _shown(found: Interval) -> str:
    return f"{found.mean:.3f} [{found.low:.3f}, {found.high:.3f}]"


def _steps() -> list[tuple[str, str, str]]:
    lines = (FOLDER / "runs/real-grpo/metrics.jsonl").read_text("utf-8").splitlines()
    batches = [row for row in map(json.loads, lines) if "batch" in row]
    first, last = batches[:5], batches[-5:]
    rewards = [sum(row["reward_mean"] for row in each) / len(each) for each in (first, last)]
    parts = ("step_s", "publish_s", "wait_s", "train_s")
    medians = [f"{statistics.median(row[part] for row in batches):.0f}" for part in parts]
    return [
        ("reward, first and last five steps", f"{rewards[0]:.3f}, {rewards[1]:.3f}", "-"),
        ("a step: whole, publish, wait, train", f"{' / '.join(medians)} s", "-"),
    ]


if __name__ == "__main__":
    main()
