"""A cached judgement costs little more than a bare request.

In turns, five rounds each: a bare FastAPI route, one cached item a request, 64 cached items a
request; 64 clients, closed loop.
"""

from __future__ import annotations

import itertools
import statistics
import tempfile
from pathlib import Path

from benchmarks import _items, _load, _services
from benchmarks._results import as_met, record

CLIENTS = 64
ROUNDS = 5
ROUND_S = 2.0
BATCH = 64
DISTINCT = 1024
"""Items in the ledger, which the clients request in turn."""


def main() -> None:
    single = [_load.post("/v1/score", _items.body(n, 1)) for n in range(DISTINCT)]
    batches = [_load.post("/v1/score", _items.body(n, BATCH)) for n in range(0, DISTINCT, BATCH)]
    with (
        tempfile.TemporaryDirectory() as folder,
        _services.bare_route() as bare,
        _services.judge(Path(folder)) as judge,
    ):
        _load.run(judge, iter(batches), clients=4)  # fills the ledger
        rounds = [
            (_rate(bare, single), _rate(judge, single), BATCH * _rate(judge, batches))
            for _ in range(ROUNDS)
        ]
    one = statistics.median(cached / bare for bare, cached, _ in rounds)
    many = statistics.median(items / bare for bare, _, items in rounds)
    bare_rate, cached_rate, item_rate = (statistics.median(r) for r in zip(*rounds, strict=True))
    record(
        __file__,
        [
            ("bare FastAPI route", f"{bare_rate:,.0f} requests/s", "-"),
            ("cached, one item a request", f"{cached_rate:,.0f} requests/s", "-"),
            ("its ratio to the bare route", f"{one:.2f}", as_met(one >= 0.35, "at least 0.35")),
            (f"cached, {BATCH} items a request", f"{item_rate:,.0f} items/s", "-"),
            ("items to a bare request", f"{many:.2f}", as_met(many >= 2.0, "at least 2.0")),
        ],
    )


def _rate(port: int, requests: list[bytes]) -> float:
    load = _load.run(port, itertools.cycle(requests), clients=CLIENTS, seconds=ROUND_S)
    return load.checked().per_second


if __name__ == "__main__":
    main()
