"""One client hardly notices the gateway: requests to it and to the bare engine alternate.

What is compared are the two distributions of the same run: the gateway's median less the engine's,
its 99th percentile less the engine's; for whole answers and for the first token of a stream.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

from benchmarks import _completions, _load
from benchmarks._results import as_met, record
from benchmarks._server import PolicyServer, policy_server

TOKENS = 16
PAIRS = 300
ADDED_MS = {0.50: 2.0, 0.99: 5.0}
"""What may be added at these percentiles."""


def main() -> None:
    with (
        tempfile.TemporaryDirectory() as folder,
        policy_server(Path(folder), settings=("server.engine.dtype=float32",)) as server,
    ):
        _measure(server, 100, stream=True)  # warms caches
        whole = [load.latencies_s for load in _measure(server, PAIRS, stream=False)]
        first = [load.firsts_s for load in _measure(server, PAIRS, stream=True)]
    rows = []
    for what, (bare, through) in (("whole answer", whole), ("first token", first)):
        for share, limit in ADDED_MS.items():
            engine, added = _at(bare, share), _at(through, share) - _at(bare, share)
            name = f"{what}, p{100 * share:.0f}"
            rows.append((f"{name}: bare engine", f"{engine:.2f} ms", "-"))
            rows.append(
                (f"{name}: added", f"{added:.2f} ms", as_met(added <= limit, f"{limit} ms"))
            )
    record(__file__, rows)


def _measure(server: PolicyServer, pairs: int, *, stream: bool) -> tuple[_load.Load, _load.Load]:
    """The engine and the gateway, asked the same in turns by one client each."""
    bare, through = _load.Load(), _load.Load()
    both = [(bare, server.engine_port, server.engine_name), (through, server.port, "policy")]
    for number in range(pairs):
        for load, port, model in both if number % 2 else reversed(both):
            request = _completions.chat(model, TOKENS, number, stream=stream)
            load.add(_load.run(port, iter([request]), clients=1))
    return bare, through


def _at(seconds: Sequence[float], share: float) -> float:
    """Milliseconds at a percentile."""
    return 1000 * sorted(seconds)[min(int(share * len(seconds)), len(seconds) - 1)]


if __name__ == "__main__":
    main()
