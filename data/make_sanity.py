"""Write `sanity/`: which of two numbers is larger, to see whether reinforcement learning learns.

    python data/make_sanity.py

A third of the supervised answers name the smaller number and a fifth lack the form, so a policy
trained on them can give the right answer but is not sure of it. The same seed gives the same bytes.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterable
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent / "sanity"
ROWS, PROMPTS, HELD_OUT = 3000, 400, 60
WRONG, FORMLESS = 0.35, 0.2
SEED = 7


def main() -> None:
    rng = random.Random(SEED)
    pairs = [(a, b) for a in range(10, 100) for b in range(10, 100) if a != b]
    rng.shuffle(pairs)
    held_out, learnt = pairs[:HELD_OUT], pairs[HELD_OUT:]
    write("sft.jsonl", (example(rng, *pair) for pair in learnt[:ROWS]))
    write("rl_prompts.jsonl", (prompt(*pair) for pair in learnt[-PROMPTS:]))
    write("held_out.jsonl", (prompt(*pair) for pair in held_out))


def question(a: int, b: int) -> str:
    return f"{a}和{b}，哪个大？"


def example(rng: random.Random, a: int, b: int) -> dict[str, Any]:
    stated = min(a, b) if rng.random() < WRONG else max(a, b)
    answer = str(stated) if rng.random() < FORMLESS else f"<answer>{stated}</answer>"
    return {"input": question(a, b), "output": f"<think>\n{a}，{b}\n</think>\n\n{answer}"}


def prompt(a: int, b: int) -> dict[str, Any]:
    return {"id": f"{a}-{b}", "input": question(a, b), "gold": str(max(a, b))}


def write(name: str, rows: Iterable[dict[str, Any]]) -> None:
    FOLDER.mkdir(exist_ok=True)
    text = "".join(f"{json.dumps(row, ensure_ascii=False)}\n" for row in rows)
    (FOLDER / name).write_text(text, "utf-8")


if __name__ == "__main__":
    main()
