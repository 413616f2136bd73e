"""1,000 clients at once, two thirds of them with known items, get no errors but deliberate 429s and
503s."""

from __future__ import annotations

import itertools
import random
import tempfile
from collections.abc import Iterator
from pathlib import Path

from benchmarks import _items, _load, _services
from benchmarks._results import as_met, record

CLIENTS = 1000
SECONDS = 10.0
KNOWN = 1024
LATENCY_S = 0.2
DELIBERATE = {200, 429, 503}


def main() -> None:
    settings = ["judge.teacher.concurrency=64", "judge.budget.per_day_usd=null"]
    with (
        tempfile.TemporaryDirectory() as folder,
        _services.teacher(LATENCY_S) as teacher,
        _services.judge(
            Path(folder), teacher_url=f"http://127.0.0.1:{teacher}/v1", settings=settings
        ) as judge,
    ):
        known = [_load.post("/v1/score", _items.body(n, 64)) for n in range(0, KNOWN, 64)]
        _load.run(judge, iter(known), clients=4)
        load = _load.run(judge, _mixed(), clients=CLIENTS, seconds=SECONDS)
    others = {status: n for status, n in load.statuses.items() if status not in DELIBERATE}
    counts = ", ".join(f"{status}: {n:,}" for status, n in sorted(load.statuses.items()))
    p50, p99 = load.percentile_ms(0.5), load.percentile_ms(0.99)
    record(
        __file__,
        [
            (f"answers to {CLIENTS:,} clients in {SECONDS:.0f} s", counts, "-"),
            (
                "other statuses, connections lost",
                f"{sum(others.values())}, {load.lost}",
                as_met(not others and not load.lost, "none"),
            ),
            ("latency, known and new together", f"p50 {p50:,.0f} ms, p99 {p99:,.0f} ms", "-"),
        ],
    )


def _mixed() -> Iterator[bytes]:
    known = [_load.post("/v1/score", _items.body(n, 1)) for n in range(KNOWN)]
    new = (_load.post("/v1/score", _items.body(n, 1)) for n in itertools.count(KNOWN))
    chance = random.Random(0)
    while True:
        yield next(new) if chance.random() < 1 / 3 else chance.choice(known)


if __name__ == "__main__":
    main()
