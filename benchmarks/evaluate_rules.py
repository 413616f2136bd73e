"""Scoring 10,000 answers by the judge's rules takes less than 30 seconds on two cores.

The answers of the demo's supervised rows, each several times under names of its own and with a
number in it, so that the judge's cache has none of them, go through the red-team suite's measures.
"""

from __future__ import annotations

import asyncio
import json
import tempfile
import time
from pathlib import Path

from benchmarks import _services
from benchmarks._results import as_met, record
from judge.client import JudgeClient
from trainer.data.example import Message
from trainer.evaluate import scoring, suite
from trainer.evaluate.asker import Written
from trainer.evaluate.items import Item
from trainer.evaluate.scoring import Answer

ANSWERS = 10_000
LIMIT_S = 30.0
ROWS = Path("data/demo/sft.jsonl")


def answers() -> list[Answer]:
    rows = [json.loads(line) for line in ROWS.read_text("utf-8").splitlines()]
    found = []
    for number in range(ANSWERS):
        row = rows[number % len(rows)]
        text = f"{row['output']}\n第{number}号回答。"
        asked = (Message("user", row["input"]),)
        item = Item(
            id=f"a{number}",
            messages=asked,
            question=row["input"],
            turns=asked,
            category="demo",
            risk=row["meta"]["risk_level"],
        )
        found.append(Answer(item, 0, Written(text, "stop", 200, 1024, "demo", 0.0)))
    return found


async def seconds(port: int) -> float:
    """How long the scoring takes, the judge's start left out."""
    given = answers()
    async with JudgeClient(f"http://127.0.0.1:{port}", deadline_s=600.0) as judge:
        started = time.monotonic()
        await scoring.by_judge(suite.load("red-team"), given, judge, run="benchmark")
        return time.monotonic() - started


def main() -> None:
    with tempfile.TemporaryDirectory() as folder, _services.judge(Path(folder)) as port:
        took_s = asyncio.run(seconds(port))
    record(
        __file__,
        [
            (
                f"{ANSWERS:,} answers scored by rule",
                f"{took_s:.1f} s",
                as_met(took_s < LIMIT_S, f"less than {LIMIT_S:.0f} s"),
            )
        ],
    )


if __name__ == "__main__":
    main()
