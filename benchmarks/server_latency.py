"""The gateway adds little latency: one client calls the bare engine and the gateway in turns.

The differences of medians and of 99th percentiles are reported, for whole answers and for the first
token of a stream. Like every SDK the client reuses its connections: it sends several requests on
each, and the first, which includes connecting, is not counted.
"""

from __future__ import annotations

import random
import tempfile
from collections.abc import Sequence
from pathlib import Path

from benchmarks import _completions, _load
from benchmarks._results import as_met, record
from benchmarks._server import PolicyServer, policy_server

TOKENS = 2
"""Few: the gateway's share does not depend on the tokens, and the engine's time for each varies by
more than that share."""
TURNS = 100
ASKED = 10
"""Counted requests in each turn."""
RESAMPLES = 2000
ADDED_MS = {0.50: 1.5, 0.99: 5.0}
"""Percentile → the most that the gateway may add."""


def main() -> None:
    with (
        tempfile.TemporaryDirectory() as folder,
        policy_server(Path(folder), settings=("server.engine.dtype=float32",)) as server,
    ):
        _measure(server, 10, stream=True)  # warms caches
        whole = [load.latencies_s for load in _measure(server, TURNS, stream=False)]
        first = [load.firsts_s for load in _measure(server, TURNS, stream=True)]
    rows = []
    for what, (bare, through) in (("whole answer", whole), ("first token", first)):
        for share, limit in ADDED_MS.items():
            engine, added = _at(bare, share), _at(through, share) - _at(bare, share)
            low, high = _interval(bare, through, share)
            name = f"{what}, p{100 * share:.0f}"
            rows.append((f"{name}: bare engine", f"{engine:.2f} ms", "-"))
            rows.append(
                (
                    f"{name}: added (95 % bootstrap interval)",
                    f"{added:.2f} ms ({low:.2f} to {high:.2f})",
                    as_met(added <= limit, f"{limit} ms"),
                )
            )
    record(__file__, rows)


def _measure(server: PolicyServer, turns: int, *, stream: bool) -> tuple[_load.Load, _load.Load]:
    """The same requests to engine and gateway, in turns."""
    bare, through = _load.Load(), _load.Load()
    both = [(bare, server.engine, server.engine_name), (through, server.port, "policy")]
    for turn in range(turns):
        for load, address, model in both if turn % 2 else reversed(both):
            numbers = range(turn * (ASKED + 1), (turn + 1) * (ASKED + 1))
            asked = (_completions.chat(model, TOKENS, number, stream=stream) for number in numbers)
            seen = _load.run(address, asked, clients=1).checked()
            load.latencies_s += seen.latencies_s[1:]
            load.firsts_s += seen.firsts_s[1:]
    return bare, through


def _at(seconds: Sequence[float], share: float) -> float:
    """Milliseconds at a percentile."""
    return 1000 * sorted(seconds)[min(int(share * len(seconds)), len(seconds) - 1)]


def _interval(bare: Sequence[float], through: Sequence[float], share: float) -> tuple[float, float]:
    """95 % bootstrap interval of the difference, in milliseconds."""
    draw = random.Random(0).choices
    drawn = sorted(
        _at(draw(through, k=len(through)), share) - _at(draw(bare, k=len(bare)), share)
        for _ in range(RESAMPLES)
    )
    return drawn[RESAMPLES * 25 // 1000], drawn[RESAMPLES * 975 // 1000]


if __name__ == "__main__":
    main()
