"""A step of reinforcement learning: on-policy, with generation ahead, and with a slow judge.

The real server and judge, a model of the demo's size with random weights, and a teacher that
answers at once or after 300 ms. Each way is a process of its own, in turns.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median

import yaml

from benchmarks import _services
from benchmarks._results import as_met, record
from benchmarks._server import model_in, policy_server

BATCHES, ROUNDS = 8, 1
SLOW_S = 0.3
Row = dict[str, float]


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "slow").mkdir()
        settings = ["server.engine.dtype=float32"]
        with (
            policy_server(folder, settings=settings) as server,
            _services.teacher() as quick,
            _services.teacher(SLOW_S) as slow,
            _services.judge(folder, teacher_url=f"http://127.0.0.1:{quick}") as judge,
            _services.judge(folder / "slow", teacher_url=f"http://127.0.0.1:{slow}") as slow_judge,
        ):
            ways = {"on": (0, judge), "ahead": (1, judge), "slow": (0, slow_judge)}
            found: dict[str, list[Row]] = {way: [] for way in ways}
            for turn in range(ROUNDS):
                for way in list(ways)[:: 1 if turn % 2 else -1]:
                    staleness, port = ways[way]
                    path = _recipe(folder, f"{way}-{turn}", staleness, server.port, port)
                    found[way] += _train(path)
    record(__file__, _rows(found))


def _recipe(folder: Path, run: str, staleness: int, server: int, judge: int) -> Path:
    """Other seeds for each run, so that no judge knows the answers from an earlier one."""
    services = {
        **{"server": f"http://127.0.0.1:{server}", "judge": f"http://127.0.0.1:{judge}"},
        **{"allow_unqualified": True, "drift_every": 0},
    }
    fields = {
        **{"stage": "grpo", "run": run, "runs": str(folder / "runs")},
        **{"model": str(model_in(folder)), "prompts": ["data/demo/rl_prompts.jsonl"]},
        **{"use_instruction": False, "cpu_threads": 1, "preflight": False, "publish": "merged"},
        **{"lora": {"r": 32, "alpha": 64, "dropout": 0.0}, "services": services},
        **{"batches": BATCHES, "batch_size": 64, "generations": 4, "mini_batch_size": 16},
        **{"epochs": 2, "max_new_tokens": 160, "save_every": BATCHES, "staleness": staleness},
        "seed": sum(map(ord, run)) * 1_000,
    }
    path = folder / f"{run}.yaml"
    path.write_text(yaml.safe_dump(fields), "utf-8")
    return path


def _train(recipe: Path) -> list[Row]:
    """The figures of each batch but the first two, in which everything is still cold."""
    command = [sys.executable, "-m", "cli.main", "train", str(recipe)]
    environment = _services.ours()
    done = subprocess.run(
        command, cwd=_services.ROOT, env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SystemExit(f"{recipe.name}: {done.stderr[-2000:]}")
    lines = (recipe.parent / "runs" / recipe.stem / "metrics.jsonl").read_text("utf-8")
    return [json.loads(line) for line in lines.splitlines()][2:]


def _rows(found: dict[str, list[Row]]) -> list[tuple[str, str, str]]:
    def typical(way: str, *names: str) -> float:
        return median(sum(row[name] for name in names) for row in found[way])

    step = {way: typical(way, "step_s") for way in found}
    drawing = {way: typical(way, "rollout_s", "judge_s") for way in found}
    update = {way: typical(way, "train_s") for way in found}
    here = step["ahead"] / max(drawing["ahead"], update["ahead"])
    alone = step["ahead"] / max(drawing["on"], update["on"])
    dearer = median(row["judge_s"] / row["step_s"] for row in found["slow"])
    publish = median(row["publish_s"] / row["step_s"] for row in found["on"])
    parts = ("publish_s", "wait_s", "train_s")
    split = median(sum(row[name] for name in parts) / row["step_s"] for row in found["on"])
    return [
        ("on-policy: a step", f"{step['on']:.2f} s", "-"),
        (
            "on-policy: rollout and judge, update",
            f"{drawing['on']:.2f} s, {update['on']:.2f} s",
            "-",
        ),
        ("one batch ahead: a step", f"{step['ahead']:.2f} s", "-"),
        ("step over the longer part, both at once", f"{here:.2f}", as_met(here <= 1.15, "1.15")),
        ("step over the longer part by itself, another run", f"{alone:.2f}", "-"),
        ("judge of 300 ms: a step", f"{step['slow']:.2f} s", "-"),
        (
            "judge of 300 ms: share after the last completion",
            f"{dearer:.1%}",
            as_met(dearer < 0.1, "under 10 %"),
        ),
        ("share of publishing", f"{publish:.1%}", as_met(publish < 0.05, "under 5 %")),
        ("publish, wait and update over the step", f"{split:.3f}", as_met(split > 0.97, "1")),
    ]


if __name__ == "__main__":
    main()
