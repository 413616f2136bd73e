"""A hit in a ledger of a million rows costs little more than one in a ledger of ten thousand.

Only `Ledger.find` is timed, for keys from the whole table: rules and HTTP cost the same for both
and would hide a difference. The two ledgers take turns.
"""

from __future__ import annotations

import asyncio
import hashlib
import random
import sqlite3
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks import _items, _load, _services
from benchmarks._results import as_met, record
from judge.ledger import database
from judge.ledger.group_commit import Store
from judge.ledger.ledger import Ledger

ASKED = 8192
SMALL, LARGE = 10_000, 1_000_000
ROUNDS = 5


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        ledgers = {rows: _made(folder, rows) for rows in (SMALL, LARGE)}
        rows = [row for batch in (1, 64) for row in _compared(ledgers, batch)]
        for ledger, _ in ledgers.values():
            asyncio.run(ledger.aclose())
    record(__file__, rows)


def _compared(
    ledgers: dict[int, tuple[Ledger, list[str]]], batch: int
) -> list[tuple[str, str, str]]:
    times: dict[int, list[float]] = {rows: [] for rows in ledgers}
    for _ in range(ROUNDS):
        for rows, (ledger, keys) in ledgers.items():
            times[rows].append(asyncio.run(_microseconds_a_hit(ledger, keys, batch)))
    small, large = (statistics.median(times[rows]) for rows in (SMALL, LARGE))
    ratio = statistics.median(
        large / small for small, large in zip(times[SMALL], times[LARGE], strict=True)
    )
    return [
        (f"a hit, {batch} keys a look-up, {SMALL:,} rows", f"{small:,.1f} µs", "-"),
        (f"a hit, {batch} keys a look-up, {LARGE:,} rows", f"{large:,.1f} µs", "-"),
        ("ratio", f"{ratio:.2f}", as_met(ratio <= 1.3, "at most 1.3")),
    ]


async def _microseconds_a_hit(ledger: Ledger, keys: list[str], batch: int) -> float:
    started = time.perf_counter()
    for at in range(0, len(keys), batch):
        found = await ledger.find(keys[at : at + batch])
        assert len(found) == len(keys[at : at + batch])
    return 1e6 * (time.perf_counter() - started) / len(keys)


def _made(folder: Path, rows: int) -> tuple[Ledger, list[str]]:
    """A ledger with `rows` rows, and keys to look up."""
    name = f"{rows}.sqlite3"
    with _services.judge(folder, database=name) as judge:
        _load.run(judge, iter([_load.post("/v1/score", _items.body(0, 1))]), clients=1)
    keys = _fill(folder / name, rows)
    ledger = Ledger(Store(database.connect(f"sqlite:///{folder / name}")))
    return ledger, random.Random(0).sample(keys, ASKED)


def _fill(path: Path, rows: int) -> list[str]:
    """Add copies of the stored verdict under new keys until there are `rows` rows."""
    keys = sorted(hashlib.sha256(str(n).encode()).hexdigest() for n in range(rows - 1))
    with sqlite3.connect(path) as connection:
        columns = [row[1] for row in connection.execute("PRAGMA table_info(verdicts)")]
        model = connection.execute("SELECT * FROM verdicts").fetchone()
        marks = ", ".join("?" * len(columns))
        others = _copies(model, columns.index("key"), keys)
        connection.executemany(f"INSERT INTO verdicts VALUES ({marks})", others)
    connection.close()
    return keys


def _copies(model: tuple[Any, ...], key_at: int, keys: list[str]) -> Iterator[tuple[Any, ...]]:
    for key in keys:
        yield (*model[:key_at], key, *model[key_at + 1 :])


if __name__ == "__main__":
    main()
