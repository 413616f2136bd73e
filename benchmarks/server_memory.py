"""The gateway's memory stays small and flat: 20,000 requests of 32 clients, half of them streamed.

It is the resident memory of the gateway's process alone, without the engine's.
"""

from __future__ import annotations

import itertools
import tempfile
from pathlib import Path

from benchmarks import _completions, _load
from benchmarks._results import as_met, record
from benchmarks._server import PolicyServer, policy_server

CLIENTS = 32
MARKS = (2_000, 5_000, 10_000, 15_000, 20_000)
"""Requests after which the memory is read."""
LIMIT_MB = 200
MOST_GROWTH_MB = 5
"""Between 5,000 and 20,000 requests; a leak of one small object per request would exceed it."""
TOKENS = 2


def main() -> None:
    with (
        tempfile.TemporaryDirectory() as folder,
        policy_server(Path(folder), settings=("server.engine.dtype=float32",)) as server,
    ):
        sizes_mb = {0: _size_mb(server)}
        for before, mark in itertools.pairwise((0, *MARKS)):
            _ask(server, mark - before)
            sizes_mb[mark] = _size_mb(server)
    last, growth = sizes_mb[MARKS[-1]], sizes_mb[MARKS[-1]] - sizes_mb[5_000]
    rows = [(f"after {mark:,} requests", f"{size:.0f} MB", "-") for mark, size in sizes_mb.items()]
    rows[-1] = (*rows[-1][:2], as_met(last < LIMIT_MB, f"under {LIMIT_MB} MB"))
    flat = as_met(growth <= MOST_GROWTH_MB, f"at most {MOST_GROWTH_MB} MB")
    record(__file__, [*rows, ("growth from 5,000 to 20,000", f"{growth:.1f} MB", flat)])


def _ask(server: PolicyServer, count: int) -> None:
    whole = _completions.chats("policy", TOKENS)
    streamed = _completions.chats("policy", TOKENS, stream=True)
    both = (request for pair in zip(whole, streamed, strict=True) for request in pair)
    _load.run(server.port, itertools.islice(both, count), clients=CLIENTS).checked()


def _size_mb(server: PolicyServer) -> float:
    return float(server.process.memory_info().rss) / 1e6


if __name__ == "__main__":
    main()
