"""Data is prepared within a bound on memory, in time that grows with the rows and no faster.

Rows of 1 KB, a fifth of them copies with other words in them, go through `galen data prepare` in a
process of its own: 100,000 and then GALEN_BENCHMARK_ROWS (1,000,000). Beside it, in the same run, a
plain pandas script does the same steps on the smaller number, and rensa alone finds the
near-duplicates of the same pieces.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil

from benchmarks._results import as_met, record

FEW = 100_000
MANY = int(os.environ.get("GALEN_BENCHMARK_ROWS", "1000000"))
MOST_BYTES = 3e9
GROWTH = 1.2
NEAR = 1.3

_PREPARE = """
import sys
from pathlib import Path
from trainer.data.preparing.prepare import prepare
from trainer.recipes import DataRecipe
if __name__ == "__main__":
    source = {"source": "rows", "path": sys.argv[1]}
    fields = {"stage": "data", "out": sys.argv[2], "sources": [source]}
    prepare(DataRecipe.model_validate(fields))
"""
_PANDAS = """
import json, sys
import pandas as pd
from pathlib import Path
from trainer.data import tag
from trainer.data.preparing import clean
from trainer.data.checking.checks import check
from trainer.data.deidentify import Surrogates, deidentify
from trainer.data.formats import pairs
from dataclasses import replace

def refined(row):
    example = pairs.FORMAT.read(row)
    check(example)
    said = example.question + example.answer
    example, _ = deidentify(example, Surrogates(17))
    example = replace(example, meta=tag.meta(example, "rows")[0])
    return said, clean.language(said), pairs.FORMAT.write(example)

frame = pd.read_json(sys.argv[1], lines=True)
made = frame.apply(lambda row: refined(row.to_dict()), axis=1, result_type="expand")
made.columns = ["said", "language", "row"]
made = made[made.language.isin(["zh", "en"])].drop_duplicates("said")
near = clean.NearDuplicates(0.8)
made = made[[near.seen(n, said) is None for n, said in enumerate(made.said, 1)]]
shuffled = made.sample(frac=1, random_state=17)
edges = [0, int(0.8 * len(made)), int(0.9 * len(made)), len(made)]
for name, start, end in zip(["train", "dev", "test"], edges, edges[1:], strict=False):
    with Path(sys.argv[2], name).open("w", encoding="utf-8") as out:
        for row in shuffled.row.iloc[start:end]:
            out.write(json.dumps(row, ensure_ascii=False) + "\\n")
"""
_NEAR = """
import json, sys, time
from rensa import RMinHash, RMinHashLSH
from trainer.data.preparing.clean import NearDuplicates, pieces
texts = [json.loads(line)["answer"] for line in open(sys.argv[1], encoding="utf-8")]
started = time.perf_counter()
index = RMinHashLSH(0.8, 128, 16)
for key, text in enumerate(texts):
    minhash = RMinHash(num_perm=128, seed=1)
    minhash.update(pieces(text))
    if not index.query(minhash):
        index.insert(key, minhash)
alone = time.perf_counter() - started
started = time.perf_counter()
near = NearDuplicates(0.8)
for key, text in enumerate(texts):
    near.seen(key, text)
print(json.dumps([alone, time.perf_counter() - started]))
"""


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        few, many = (_write(Path(folder), count) for count in (FEW, MANY))
        few_s, _ = _run(_PREPARE, few, Path(folder, "few"))
        Path(folder, "pandas").mkdir()
        pandas_s, _ = _run(_PANDAS, few, Path(folder, "pandas"))
        alone_s, ours_s = json.loads(_output(_NEAR, few))
        many_s, peak = _run(_PREPARE, many, Path(folder, "many"))
    growth = many_s / few_s / (MANY / FEW)
    pandas, near = pandas_s / few_s, ours_s / alone_s
    record(
        __file__,
        [
            (f"{FEW:,} rows", f"{FEW / few_s:,.0f} rows/s", "-"),
            (f"{MANY:,} rows", f"{MANY / many_s:,.0f} rows/s", "-"),
            (
                "peak memory, all processes",
                f"{peak / 1e9:.2f} GB",
                as_met(peak < MOST_BYTES, "3 GB"),
            ),
            ("time a row, many over few", f"{growth:.2f}", as_met(growth <= GROWTH, f"{GROWTH}")),
            ("plain pandas, time over ours", f"{pandas:.2f}", as_met(pandas >= 1, "at least 1")),
            ("near-duplicates over rensa alone", f"{near:.2f}", as_met(near <= NEAR, f"{NEAR}")),
        ],
    )


def _write(folder: Path, count: int) -> Path:
    """Rows of about 1 KB of random words; each fifth is the one before with a few other words."""
    dice, path = random.Random(count), folder / f"{count}.jsonl"
    words = ["".join(chr(0x4E00 + dice.randrange(2500)) for _ in range(2)) for _ in range(5000)]
    said: list[str] = []
    with path.open("w", encoding="utf-8") as out:
        for number in range(count):
            if number % 5 or not said:
                said = dice.choices(words, k=150)
            else:
                said[dice.randrange(150)] = dice.choice(words)
            question, answer = "".join(said[:20]), "".join(said[20:])
            row = {"question": f"{question}，怎么办？", "answer": f"{answer}。建议就医。"}
            out.write(json.dumps(row, ensure_ascii=False) + "\n")
    return path


def _run(script: str, source: Path, out: Path) -> tuple[float, int]:
    """Seconds, and the most bytes that the process and its children held at once."""
    file = out.parent / f"run-{out.name}.py"
    file.write_text(script, "utf-8")
    started, peak = time.perf_counter(), 0
    with subprocess.Popen([sys.executable, str(file), str(source), str(out)]) as running:
        process = psutil.Process(running.pid)
        while running.poll() is None:
            peak = max(peak, _held(process))
            time.sleep(0.2)
    if running.returncode:
        raise SystemExit(f"{file.name} ended with {running.returncode}")
    return time.perf_counter() - started, peak


def _held(process: psutil.Process) -> int:
    total = 0
    for each in [process, *process.children(recursive=True)]:
        try:
            total += each.memory_info().rss
        except psutil.NoSuchProcess:
            continue
    return total


def _output(script: str, source: Path) -> str:
    command = [sys.executable, "-c", script, str(source)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


if __name__ == "__main__":
    main()
