"""An evaluation keeps the engine as busy as the server's load benchmark does.

In turns, 32 at once, the same short questions at the same temperature, up to the same length, both
as rollouts: bare HTTP requests in a closed loop, and an evaluation of the same server with all that
belongs to it (chats rendered to token ids, answers kept on disk, scores). Tokens are the engine's
own count. On a model of the demo's size, whose engine
has almost nothing to compute, so that the evaluation's own work weighs most. Then one command
compares two versions on 1,000 prompts.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks import _completions, _load, _services
from benchmarks._results import as_met, record
from benchmarks._server import PolicyServer, model_in, policy_server, written_tokens
from server.client import ROLE_HEADER
from trainer.evaluate.evaluate import Plan, evaluate
from trainer.evaluate.serving import Access
from trainer.evaluate.suite import Measure, Suite

CLIENTS = 32
TOKENS, TEMPERATURE = 200, 0.7
ANSWERS = 128
ROUNDS = 3
TARGET = 0.9
PROMPTS = 1_000
SETTINGS = (
    "server.engine.dtype=float32",
    "server.engine.max_model_len=1024",
    "server.adapters={max_rank: 64, max_loaded: 2}",
)


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        version = _adapter(folder)
        with policy_server(folder, settings=SETTINGS) as server:
            _load_rate(server)  # warms caches and connections
            rounds = []
            for number in range(ROUNDS):
                if number % 2:
                    bare = _load_rate(server)
                    rounds.append((bare, _evaluation_rate(server, folder, number)))
                else:
                    ours = _evaluation_rate(server, folder, number)
                    rounds.append((_load_rate(server), ours))
            took_s = _compared(server, folder, version)
    bare, ours = (statistics.median(each) for each in zip(*rounds, strict=True))
    ratio = statistics.median(ours / bare for bare, ours in rounds)
    record(
        __file__,
        [
            (f"load, {CLIENTS} at once", f"{bare:,.0f} tokens/s", "-"),
            (f"evaluation, {CLIENTS} at once", f"{ours:,.0f} tokens/s", "-"),
            ("ratio", f"{ratio:.3f}", as_met(ratio >= TARGET, f"at least {TARGET}")),
            (f"{PROMPTS:,} prompts × 2 versions, one command", f"{took_s:.0f} s", "-"),
        ],
    )


def _load_rate(server: PolicyServer) -> float:
    """Tokens per second of bare requests."""
    sampling = {"max_tokens": TOKENS, "temperature": TEMPERATURE, "top_k": 0}
    asked = ([{"role": "user", "content": text}] for text in _questions(ANSWERS))
    bodies = ({"model": "base", "messages": messages, **sampling} for messages in asked)
    as_a_rollout = [f"{ROLE_HEADER}: rollout"]
    requests = (
        _load.post(_completions.PATH, json.dumps(body).encode(), as_a_rollout) for body in bodies
    )
    return _rate(server, lambda: _load.run(server.port, requests, clients=CLIENTS).checked())


def _rate(server: PolicyServer, work: Callable[[], object]) -> float:
    """Tokens per second that the engine writes while `work` is done."""
    before, started = written_tokens(server), time.monotonic()
    work()
    took_s = time.monotonic() - started
    return (written_tokens(server) - before) / took_s


def _evaluation_rate(server: PolicyServer, folder: Path, number: int) -> float:
    """Tokens per second of a whole evaluation."""
    suite = Suite(
        name="throughput",
        description="As much as the model writes.",
        data=(_rows(folder, ANSWERS),),
        scorer="exact",
        max_tokens=TOKENS,
        temperature=TEMPERATURE,
        measures={"right": Measure()},
    )
    access = Access(f"http://127.0.0.1:{server.port}", concurrency=CLIENTS, runs=folder)
    plan = Plan(("base",), (suite,), folder / f"round-{number}", access, judge="http://127.0.0.1:9")
    return _rate(server, lambda: evaluate(plan))


def _compared(server: PolicyServer, folder: Path, version: Path) -> float:
    """Seconds of the command that compares two versions."""
    body = json.dumps({"name": version.name, "path": str(version)}).encode()
    publish = iter([_load.post("/policy/versions", body)])
    _load.run(server.port, publish, clients=1).checked()
    words = ["compare", "base", version.name, "--suite", "sanity", "--data"]
    words += [str(_rows(folder, PROMPTS)), "--set", "max_tokens=64", "--out", str(folder / "out")]
    words += ["--server", f"http://127.0.0.1:{server.port}", "--judge", "http://127.0.0.1:9"]
    started = time.monotonic()
    command = [sys.executable, "-m", "cli.main", *words]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env=_services.ours())
    return time.monotonic() - started


def _adapter(folder: Path) -> Path:
    script = str(Path(__file__).with_name("_adapters.py"))
    words = [sys.executable, script, str(model_in(folder)), str(folder), "1"]
    done = subprocess.run(
        words, check=True, stdout=subprocess.PIPE, text=True, env=_services.ours()
    )
    return Path(done.stdout.strip())


def _rows(folder: Path, count: int) -> Path:
    """The load's questions, as a suite's rows."""
    path = folder / f"rows-{count}.jsonl"
    rows = [{"question": text, "answer": "1"} for text in _questions(count)]
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows), "utf-8")
    return path


def _questions(count: int) -> list[str]:
    few = _completions.QUESTIONS
    return [f"{few[n % len(few)]} {n}" for n in range(count)]


if __name__ == "__main__":
    main()
