"""SFT of a real model through a recipe, beside a bare `SFTTrainer` script on the same rows.

GALEN_REAL_MODEL names the model (Qwen2.5-0.5B), GALEN_CONVERSATIONS a file of conversations
(medical_sft_1K_sharegpt.jsonl). Each way runs in a process of its own, in turns.
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

from benchmarks._results import as_met, record
from trainer.data import reader, tokens
from trainer.data.example import Example
from trainer.model import load_tokenizer

MODEL, DATA = "GALEN_REAL_MODEL", "GALEN_CONVERSATIONS"
ROWS, LENGTH = 16, 512
ROUNDS = 2


def main() -> None:
    if missing := [name for name in (MODEL, DATA) if name not in os.environ]:
        print(f"skipped: {' and '.join(missing)} must name a real model and a file")
        return
    model = Path(os.environ[MODEL]).resolve()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        rows, count = _rows(model, Path(os.environ[DATA]))
        (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        found: dict[str, list[dict[str, float]]] = {}
        for turn in range(ROUNDS):
            for how in ("recipe", "bare", "packed", "padded")[:: 1 if turn % 2 else -1]:
                found.setdefault(how, []).append(_train(folder, model, how, turn))
    rate = {how: count / statistics.median(r["seconds"] for r in f) for how, f in found.items()}
    outside = statistics.median(run["outside"] for run in found["recipe"])
    beside, packed = rate["recipe"] / rate["bare"], rate["packed"] / rate["padded"]
    record(
        __file__,
        [
            *((f"{how}: tokens/s", f"{rate[how]:,.0f}", "-") for how in rate),
            ("recipe over bare script", f"{beside:.2f}", as_met(beside >= 0.97, "at least 0.97")),
            ("packed over padded", f"{packed:.2f}", as_met(packed >= 1.5, "at least 1.5")),
            ("time outside steps", f"{outside:.1%}", as_met(outside < 0.03, "under 3 %")),
        ],
    )


def _rows(model: Path, file: Path) -> tuple[list[dict[str, Any]], int]:
    """The first rows that are short enough, and their tokens."""
    tokenizer = load_tokenizer(model)

    def encode(example: Example) -> tuple[int, dict[str, Any]]:
        length = sum(len(part.input_ids) for part in tokens.encode(tokenizer, example.messages))
        messages = [{"role": each.role, "content": each.content} for each in example.messages]
        return length, {"messages": messages}

    found = reader.read((file,), "conversation", encode)
    short = [(length, row) for length, row in found if length <= LENGTH][:ROWS]
    return [row for _, row in short], sum(length for length, _ in short)


def _train(folder: Path, model: Path, how: str, turn: int) -> dict[str, float]:
    recipe = {
        **{"stage": "sft", "run": f"{how}-{turn}", "runs": str(folder / "runs")},
        **{"model": str(model), "train": [str(folder / "rows.jsonl")], "epochs": 1},
        **{"lora": {"r": 8, "alpha": 16, "dropout": 0.0}, "max_length": LENGTH, "batch_size": 4},
        **{"merge": False, "packing": how == "packed"},
    }
    file = folder / f"{how}.json"
    file.write_text(json.dumps(recipe))
    way = "recipe" if how == "packed" else how
    command = [sys.executable, "-m", "benchmarks._train", str(file), way]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    result: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return result


if __name__ == "__main__":
    main()
