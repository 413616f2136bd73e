"""The gateway costs little throughput: the same load on the bare engine and through the gateway.

In turns, 32 clients in a closed loop, 64 tokens an answer, streamed or not, on a model of the
demo's size. That is the worst case, since the engine has almost nothing to compute. Clients,
gateway and engine share the machine's cores.
"""

from __future__ import annotations

import statistics
import tempfile
from pathlib import Path

from benchmarks import _completions, _load
from benchmarks._results import as_met, record
from benchmarks._server import policy_server

CLIENTS = 32
TOKENS = 64
ROUNDS = 7
ROUND_S = 6.0


def main() -> None:
    with (
        tempfile.TemporaryDirectory() as folder,
        policy_server(Path(folder), settings=("server.engine.dtype=float32",)) as server,
    ):
        engine = (server.engine, server.engine_name)
        gateway = (server.port, "policy")
        for each in (engine, gateway):
            _rate(*each, stream=True)  # warms caches and connections
        rows = []
        for stream, target in ((False, 0.97), (True, 0.94)):
            rounds = []
            for number in range(ROUNDS):
                pair = (engine, gateway) if number % 2 else (gateway, engine)
                rates = {each: _rate(*each, stream=stream) for each in pair}
                rounds.append((rates[engine], rates[gateway]))
            ratio = statistics.median(through / bare for bare, through in rounds)
            bare, through = (TOKENS * statistics.median(r) for r in zip(*rounds, strict=True))
            how = "streamed" if stream else "not streamed"
            rows += [
                (f"{how}: bare engine", f"{bare:,.0f} tokens/s", "-"),
                (f"{how}: through the gateway", f"{through:,.0f} tokens/s", "-"),
                (f"{how}: ratio", f"{ratio:.3f}", as_met(ratio >= target, f"at least {target}")),
            ]
    record(__file__, rows)


def _rate(address: _load.Address, model: str, *, stream: bool) -> float:
    """Answers per second."""
    requests = _completions.chats(model, TOKENS, stream=stream)
    load = _load.run(address, requests, clients=CLIENTS, seconds=ROUND_S)
    return load.checked().per_second


if __name__ == "__main__":
    main()
