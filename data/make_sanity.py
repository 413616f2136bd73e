"""Write `sanity/`: sums with exact answers, to see whether reinforcement learning learns at all.

    python data/make_sanity.py

Half of the supervised answers are wrong and a fifth lack the form, so that a policy trained on them
knows the right answer but is not sure of it. The same seed gives the same bytes.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterable
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent / "sanity"
LARGEST = 20
ROWS = 4000
HELD_OUT = 40
WRONG, FORMLESS = 0.5, 0.2
SEED = 7


def main() -> None:
    rng = random.Random(SEED)
    sums = [(a, b) for a in range(LARGEST + 1) for b in range(LARGEST + 1)]
    rng.shuffle(sums)
    held_out, learnt = sums[:HELD_OUT], sums[HELD_OUT:]
    write("sft.jsonl", (example(rng, *rng.choice(learnt)) for _ in range(ROWS)))
    write("rl_prompts.jsonl", (prompt(*each) for each in learnt))
    write("held_out.jsonl", (prompt(*each) for each in held_out))


def question(a: int, b: int) -> str:
    return f"{a}加{b}等于几？"


def example(rng: random.Random, a: int, b: int) -> dict[str, Any]:
    stated = a + b
    if rng.random() < WRONG:
        stated += rng.choice([-3, -2, -1, 1, 2, 3])
    answer = str(stated) if rng.random() < FORMLESS else f"<answer>{stated}</answer>"
    return {"input": question(a, b), "output": f"<think>\n{a}+{b}\n</think>\n\n{answer}"}


def prompt(a: int, b: int) -> dict[str, Any]:
    return {"id": f"{a}+{b}", "input": question(a, b), "gold": str(a + b)}


def write(name: str, rows: Iterable[dict[str, Any]]) -> None:
    FOLDER.mkdir(exist_ok=True)
    text = "".join(f"{json.dumps(row, ensure_ascii=False)}\n" for row in rows)
    (FOLDER / name).write_text(text, "utf-8")


if __name__ == "__main__":
    main()
