"""People before rollouts: with 256 rollouts at once a person's first token comes hardly later.

In turns: a person alone, the same person during a flood of rollouts, the flood alone, and a new
person who joins during the flood. The target concerns the person who was there first: time to first
token at the 95th percentile. Rollouts continue more slowly beside people; the engine's own counter
gives both speeds.
"""

from __future__ import annotations

import itertools
import json
import multiprocessing
import random
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from multiprocessing.managers import SyncManager
from pathlib import Path
from threading import Event

from benchmarks import _completions, _load
from benchmarks._results import as_met, record
from benchmarks._server import PolicyServer, policy_server, written_tokens
from server.gateway.admission import LINGER_S

FLOOD = 256
ROUNDS = 4
QUESTIONS = 50
"""The person's questions in each turn of a round."""
PAUSES_S = (0.05, 0.15)
"""Shortest and longest pause between an answer and the person's next question."""
ANSWER_TOKENS = 16
ROLLOUT_TOKENS = (32, 96)
PROMPT_TOKENS = 60
ALONE_S = 8.0
SETTLE_S = 4.0
"""Time for the flood to fill all its slots once the person counts as gone."""
TARGET = 2.0
KEYS = ("person:user:key-of-person", "trainer:rollout:key-of-trainer")
PERSON, TRAINER = ([f"Authorization: Bearer {key.rsplit(':', 1)[1]}"] for key in KEYS)


def main() -> None:
    quiet, flooded, flood = _load.Load(), _load.Load(), _load.Load()
    first_of_newcomer: list[float] = []
    beside: list[float] = []
    alone: list[float] = []
    with (
        tempfile.TemporaryDirectory() as folder,
        policy_server(Path(folder), settings=("server.engine.dtype=float32",), keys=KEYS) as server,
        multiprocessing.Manager() as manager,
        ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool,
    ):
        pool.submit(int).result()  # starts its process before the measurements
        _person(server, QUESTIONS, "warm")
        for number in range(ROUNDS):
            quiet.add(_person(server, QUESTIONS, f"quiet {number}"))
            flooding, stop = _flood(pool, manager, server.port, number)
            began, tokens = time.perf_counter(), written_tokens(server)
            person = _person(server, QUESTIONS, f"flooded {number}")
            written = written_tokens(server) - tokens - QUESTIONS * ANSWER_TOKENS
            beside.append(written / (time.perf_counter() - began))
            flooded.add(person)
            alone.append(_speed_of_flood_alone(server))
            first_of_newcomer += _person(server, 1, f"newcomer {number}").firsts_s
            stop.set()
            flood.add(flooding.result())
    _report(quiet, flooded, flood, first_of_newcomer, beside, alone)


def _person(server: PolicyServer, questions: int, label: str) -> _load.Load:
    """The results of one person, who asks again shortly after each answer. All prompts differ."""

    def asked() -> Iterator[bytes]:
        chance = random.Random(label)
        for number in range(questions):
            time.sleep(chance.uniform(*PAUSES_S))
            body = {
                "messages": [{"role": "user", "content": f"{label}，{number}：头痛三天怎么办？"}],
                "max_tokens": ANSWER_TOKENS,
                "ignore_eos": True,
                "stream": True,
            }
            yield _load.post(_completions.PATH, json.dumps(body).encode(), PERSON)

    return _load.run(server.port, asked(), clients=1).checked()


def _flood(
    pool: ProcessPoolExecutor, manager: SyncManager, port: int, seed: int
) -> tuple[Future[_load.Load], Event]:
    """Start a flood in a process of its own; setting the event ends it."""
    stop = manager.Event()
    return pool.submit(_flood_until, stop, port, seed), stop


def _flood_until(stop: Event, port: int, seed: int) -> _load.Load:
    chance = random.Random(seed)
    requests = (_load.post("/v1/completions", _rollout(chance), TRAINER) for _ in itertools.count())
    unless_stopped = itertools.takewhile(lambda _: not stop.is_set(), requests)
    return _load.run(port, unless_stopped, clients=FLOOD)


def _rollout(chance: random.Random) -> bytes:
    """A request like the trainer's: token ids in, token ids and log-probabilities out."""
    body = {
        "prompt": [chance.randrange(10, 600) for _ in range(PROMPT_TOKENS)],
        "max_tokens": chance.randint(*ROLLOUT_TOKENS),
        "ignore_eos": True,
        "return_token_ids": True,
        "logprobs": 0,
    }
    return json.dumps(body).encode()


def _speed_of_flood_alone(server: PolicyServer) -> float:
    """Tokens per second once the person counts as gone."""
    time.sleep(LINGER_S + SETTLE_S)
    began, tokens = time.perf_counter(), written_tokens(server)
    time.sleep(ALONE_S)
    return (written_tokens(server) - tokens) / (time.perf_counter() - began)


def _report(
    quiet: _load.Load,
    flooded: _load.Load,
    flood: _load.Load,
    newcomer_s: list[float],
    beside: list[float],
    alone: list[float],
) -> None:
    rows = []
    for share in (0.5, 0.95):
        at_rest, in_flood = (1000 * _at(load.firsts_s, share) for load in (quiet, flooded))
        ratio = in_flood / at_rest
        target = as_met(ratio <= TARGET, f"at most {TARGET}") if share == 0.95 else "-"
        name = f"first token, p{100 * share:.0f} of {len(quiet.firsts_s)}"
        rows.append(
            (f"{name}: quiet, with {FLOOD} rollouts", f"{at_rest:.0f}, {in_flood:.0f} ms", "-")
        )
        rows.append((f"{name}: ratio", f"{ratio:.2f}", target))
    slowest = 1000 * max(newcomer_s)
    others = flood.lost + sum(n for status, n in flood.statuses.items() if status != 200)
    rows += [
        (f"first token of who comes into the flood, slowest of {ROUNDS}", f"{slowest:.0f} ms", "-"),
        ("rollouts beside the person", f"{_at(beside, 0.5):,.0f} tokens/s", "-"),
        ("rollouts alone", f"{_at(alone, 0.5):,.0f} tokens/s", "-"),
        (
            "rollouts answered; refused or lost",
            f"{flood.statuses[200]:,}; {others}",
            as_met(not others, "none"),
        ),
    ]
    record(__file__, rows)


def _at(values: list[float], share: float) -> float:
    return sorted(values)[min(int(share * len(values)), len(values) - 1)]


if __name__ == "__main__":
    main()
