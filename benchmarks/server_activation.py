"""A new LoRA version answers within a second of its publication, checks and parity probe included.

Rank 64, on a model of the demo's size. Eight versions are published one after another without load,
then two older ones are activated again, then eight are published while eight clients request
answers of 32 tokens. Last, one is published while an answer of 4,096 tokens is under way: it is cut
off after `drain_limit_s`, and the clients who wait meanwhile are answered.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks import _completions, _load, _services
from benchmarks._results import as_met, record
from benchmarks._server import PolicyServer, model_in, policy_server

VERSIONS = 8
CLIENTS = 8
ASKED_S = 20.0
LIMIT_S = 1.0
DRAIN_S = 2.0
LONG_TOKENS = 4096
SETTINGS = (
    "server.engine.dtype=float32",
    "server.engine.max_model_len=8192",
    "server.adapters={max_rank: 64, max_loaded: 4}",
    f"server.drain_limit_s={DRAIN_S}",
)


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        versions = _versions(folder)
        with policy_server(folder, settings=SETTINGS) as server:
            quiet = [_published(server, version) for version in versions[:VERSIONS]]
            back = [_activated(server, name) for name in ("base", versions[VERSIONS - 1].name)]
            load, busy = _under_load(server, versions[VERSIONS:-1])
            long, waiting, beside_long_s = _beside_a_long_answer(server, versions[-1])
    slowest = max(quiet)
    lost = load.lost + sum(n for status, n in load.statuses.items() if status != 200)
    record(
        __file__,
        [
            ("published, median", f"{statistics.median(quiet):.2f} s", "-"),
            ("published, slowest", f"{slowest:.2f} s", as_met(slowest < LIMIT_S, "under 1 s")),
            ("rolled back and forth, slower", f"{1000 * max(back):.0f} ms", "-"),
            (f"published under {CLIENTS} clients, median", f"{statistics.median(busy):.2f} s", "-"),
            ("requests lost meanwhile", f"{lost} of {sum(load.statuses.values())}", "-"),
            (
                f"published beside an answer of {LONG_TOKENS} tokens",
                f"{beside_long_s:.2f} s",
                as_met(beside_long_s < DRAIN_S + LIMIT_S, f"under {DRAIN_S + LIMIT_S:.0f} s"),
            ),
            (
                "that answer's status",
                str(next(iter(long.statuses))),
                as_met(503 in long.statuses, "503"),
            ),
            (
                "others refused meanwhile",
                f"{sum(n for status, n in waiting.statuses.items() if status != 200)} of "
                f"{sum(waiting.statuses.values())}",
                as_met(set(waiting.statuses) == {200}, "none"),
            ),
        ],
    )


def _versions(folder: Path) -> list[Path]:
    script = str(Path(__file__).with_name("_adapters.py"))
    words = [sys.executable, script, str(model_in(folder)), str(folder), str(2 * VERSIONS + 1)]
    written = subprocess.run(
        words, check=True, stdout=subprocess.PIPE, text=True, env=_services.ours()
    )
    return [Path(line) for line in written.stdout.splitlines()]


def _published(server: PolicyServer, folder: Path) -> float:
    """Seconds until the version serves."""
    return _timed(server, "/policy/versions", {"name": folder.name, "path": str(folder)})


def _activated(server: PolicyServer, name: str) -> float:
    return _timed(server, "/policy/activate", {"name": name})


def _timed(server: PolicyServer, path: str, body: dict[str, str]) -> float:
    load = _load.run(server.port, iter([_load.post(path, json.dumps(body).encode())]), clients=1)
    return load.checked().latencies_s[0]


def _under_load(server: PolicyServer, versions: Sequence[Path]) -> tuple[_load.Load, list[float]]:
    """The clients' results, and the seconds that each publication took meanwhile."""
    loads: list[_load.Load] = []

    def ask() -> None:
        chats = _completions.chats("policy", 32)
        loads.append(_load.run(server.port, chats, clients=CLIENTS, seconds=ASKED_S))

    asking = threading.Thread(target=ask)
    asking.start()
    pause_s = ASKED_S / (len(versions) + 1)
    seconds = []
    for version in versions:
        time.sleep(pause_s)
        seconds.append(_published(server, version))
    asking.join()
    return loads[0], seconds


def _beside_a_long_answer(
    server: PolicyServer, version: Path
) -> tuple[_load.Load, _load.Load, float]:
    """Results of the long answer and of the others, and the seconds of the publication."""
    loads: dict[str, _load.Load] = {}

    def ask(name: str, requests: Iterator[bytes], clients: int, seconds: float) -> None:
        loads[name] = _load.run(server.port, requests, clients=clients, seconds=seconds)

    long = iter([_completions.chat("policy", LONG_TOKENS, 0)])
    others = _completions.chats("policy", 32)
    threads = [
        threading.Thread(target=ask, args=("long", long, 1, 60.0)),
        threading.Thread(target=ask, args=("others", others, CLIENTS, 3 * DRAIN_S)),
    ]
    for thread in threads:
        thread.start()
    time.sleep(DRAIN_S / 2)
    seconds = _published(server, version)
    for thread in threads:
        thread.join()
    return loads["long"], loads["others"], seconds


if __name__ == "__main__":
    main()
