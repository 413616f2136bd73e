"""Write `sanity/`: which of three numbers is largest, to see whether reinforcement learning learns.

    python data/make_sanity.py

A third of the supervised answers name another number and a fifth lack the form, so a policy trained
on them can give the right answer but is not sure of it. The numbers have one digit: what a tiny
model cannot do at all, such as copy two digits in order, it never does by chance either, and no
reward can strengthen it. The same seed gives the same bytes.
"""

from __future__ import annotations

import itertools
import json
import random
from collections.abc import Iterable
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent / "sanity"
ROWS, PROMPTS, HELD_OUT = 3000, 400, 120
WRONG, FORMLESS = 0.35, 0.2
SEED = 7


def main() -> None:
    rng = random.Random(SEED)
    triples = list(itertools.permutations(range(10), 3))
    rng.shuffle(triples)
    held_out, learnt = triples[:HELD_OUT], triples[HELD_OUT:]
    write("sft.jsonl", (example(rng, rng.choice(learnt)) for _ in range(ROWS)))
    write("rl_prompts.jsonl", (prompt(triple) for triple in learnt[:PROMPTS]))
    write("held_out.jsonl", (prompt(triple) for triple in held_out))


def question(triple: tuple[int, ...]) -> str:
    return f"{'、'.join(map(str, triple))}，哪个最大？"


def example(rng: random.Random, triple: tuple[int, ...]) -> dict[str, Any]:
    *others, largest = sorted(triple)
    stated = rng.choice(others) if rng.random() < WRONG else largest
    answer = str(stated) if rng.random() < FORMLESS else f"<answer>\n{stated}\n</answer>"
    reasoning = "，".join(map(str, triple))
    return {"input": question(triple), "output": f"<think>\n{reasoning}\n</think>\n\n{answer}"}


def prompt(triple: tuple[int, ...]) -> dict[str, Any]:
    name = "-".join(map(str, triple))
    return {"id": name, "input": question(triple), "gold": str(max(triple))}


def write(name: str, rows: Iterable[dict[str, Any]]) -> None:
    FOLDER.mkdir(exist_ok=True)
    text = "".join(f"{json.dumps(row, ensure_ascii=False)}\n" for row in rows)
    (FOLDER / name).write_text(text, "utf-8")


if __name__ == "__main__":
    main()
