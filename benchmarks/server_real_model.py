"""A real model gets more tokens per second by the `auto` settings than by the old fixed ones.

The folder in GALEN_REAL_MODEL (Qwen2.5-0.5B) is served twice, one server after the other, in turns:
once as `auto` decides for this machine, once with the settings that used to be the defaults (one
thread, 256 MiB of cache, 1,024 tokens, bfloat16). 16 clients in a closed loop, 96 tokens an answer.
"""

from __future__ import annotations

import os
import statistics
import tempfile
from pathlib import Path

from benchmarks import _completions, _load
from benchmarks._results import as_met, record
from benchmarks._server import policy_server

MODEL_VARIABLE = "GALEN_REAL_MODEL"
CLIENTS = 16
TOKENS = 96
ANSWERS = 32
"""In each round."""
ROUNDS = 2
OLD = (
    "server.engine.threads=1",
    "server.engine.kv_cache_bytes=268435456",
    "server.engine.max_model_len=1024",
    "server.engine.dtype=bfloat16",
)
AUTO = ("server.engine.dtype=auto",)
"""The default stack file, which the server reads, has the demo's dtype."""
TARGET = 1.5


def main() -> None:
    if MODEL_VARIABLE not in os.environ:
        print(f"skipped: {MODEL_VARIABLE} names no folder of a real model")
        return
    rates: dict[tuple[str, ...], list[float]] = {AUTO: [], OLD: []}
    for number in range(ROUNDS):
        for settings in [AUTO, OLD] if number % 2 else [OLD, AUTO]:
            rates[settings].append(_rate(settings))
    auto, old = (TOKENS * statistics.median(rates[settings]) for settings in (AUTO, OLD))
    ratio = auto / old
    record(
        __file__,
        [
            ("old settings", f"{old:.1f} tokens/s", "-"),
            ("auto", f"{auto:.1f} tokens/s", "-"),
            ("ratio", f"{ratio:.2f}", as_met(ratio >= TARGET, f"at least {TARGET}")),
        ],
    )


def _rate(settings: tuple[str, ...]) -> float:
    """Answers per second of a fresh server."""
    model = f"server.model={Path(os.environ[MODEL_VARIABLE]).resolve()}"
    with (
        tempfile.TemporaryDirectory() as folder,
        policy_server(Path(folder), settings=(model, *settings)) as server,
    ):
        requests = (_completions.chat("policy", TOKENS, n) for n in range(ANSWERS))
        return _load.run(server.port, requests, clients=CLIENTS).checked().per_second


if __name__ == "__main__":
    main()
