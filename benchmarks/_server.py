"""A policy server with its real engine and a model of the demo's size, as a context manager.

The model is new, with random weights: it writes noise, as much as `ignore_eos` requests. The
variable GALEN_BENCHMARK_MODEL may name the folder of another model.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

from benchmarks import _services
from benchmarks._load import Address

MODEL_VARIABLE = "GALEN_BENCHMARK_MODEL"
START_LIMIT_S = 240
_BUILD = """
import json, sys
from pathlib import Path
from trainer import demo_model
from trainer.recipes import DemoModel
lines = Path("data/demo/sft.jsonl").read_text("utf-8").splitlines()
rows = [json.loads(line) for line in lines]
texts = [row["input"] + row["output"] for row in rows]
folder = Path(sys.argv[1])
demo_model.build(DemoModel(), texts, folder, seed=0)
config = json.loads((folder / "config.json").read_text())
(folder / "config.json").write_text(json.dumps({**config, "max_position_embeddings": 8192}))
"""


@dataclass(frozen=True)
class PolicyServer:
    """A running server. Its engine can be called directly, with the model name `engine_name`."""

    port: int
    process: psutil.Process
    """The gateway; the engine's processes descend from it."""
    engine: Address
    engine_name: str


@contextmanager
def policy_server(
    folder: Path, *, settings: Sequence[str] = (), keys: Sequence[str] = ()
) -> Iterator[PolicyServer]:
    """A ready server, started by `galen server serve`, with its files in `folder`.

    `settings` are overrides such as `server.rollouts_at_once=16`; `keys` are key lines.
    """
    overrides = [
        f"server.model={model_in(folder)}",
        f"server.state={folder / 'state'}",
        f"server.versions_root={folder}",
        *settings,
    ]
    arguments = [part for override in overrides for part in ("--set", override)]
    command = [sys.executable, "-m", "cli.main", "server", "serve", *arguments]
    command += ["--set", "server.port={port}"]
    environment = {"GALEN_KEYS": ",".join(keys)}
    log = folder / "server.log"
    with _services.process(command, "/readyz", environment, log, START_LIMIT_S) as port:
        gateway = next(p for p in psutil.Process().children() if f"server.port={port}" in _words(p))
        engine = next(
            words for p in gateway.children(recursive=True) if "--uds" in (words := _words(p))
        )
        socket, name = (engine[engine.index(it) + 1] for it in ("--uds", "--served-model-name"))
        yield PolicyServer(port, gateway, Path(socket), name)


def written_tokens(server: PolicyServer) -> float:
    """The engine's counter of generated tokens."""
    lines = _services.get(server.engine, "/metrics").decode().splitlines()
    counts = [line for line in lines if line.startswith("vllm:generation_tokens_total")]
    return sum(float(line.rsplit(" ", 1)[1]) for line in counts)


def model_in(folder: Path) -> Path:
    """The folder that the variable names, else a new model. It is made in a process of its own, so
    that torch does not stay in the measuring process."""
    if given := os.environ.get(MODEL_VARIABLE):
        return Path(given).resolve()
    made = folder / "model"
    if not made.exists():
        subprocess.run([sys.executable, "-c", _BUILD, str(made)], cwd=_services.ROOT, check=True)
    return made


def _words(process: psutil.Process) -> list[str]:
    words: list[str] = process.cmdline()
    return words
