"""Starts the simple engine: `python -m server.simple --model … --port …`.

The options have vLLM's names. Threads are torch's, by `OMP_NUM_THREADS`.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import uvicorn

from galen.telemetry import configure_logging
from server.simple.app import create_app
from server.simple.engine import Options, load

SHUTDOWN_S = 3
"""Seconds that answers under way have to end; less than the leash allows."""


def options_of(words: Sequence[str] | None = None) -> tuple[Options, int]:
    """What the command line says, and the port."""
    parser = argparse.ArgumentParser(prog="python -m server.simple", description=__doc__)
    parser.add_argument("--model", type=Path, required=True, help="the model's folder")
    parser.add_argument("--served-model-name", required=True)
    parser.add_argument("--port", type=int, required=True, help="on 127.0.0.1")
    parser.add_argument("--dtype", default="auto")
    parser.add_argument("--max-model-len", type=int, required=True)
    parser.add_argument("--max-lora-rank", type=int, default=0)
    parser.add_argument("--max-loras", type=int, default=0, help="adapters held at once")
    said = vars(parser.parse_args(words))
    port = said.pop("port")
    return Options(**said), port


def main() -> None:
    options, port = options_of()
    configure_logging("engine")

    def on_end() -> None:
        server.should_exit = True

    app = create_app(load(options), on_end)
    config = uvicorn.Config(
        app,
        host="127.0.0.1",
        port=port,
        log_config=None,
        access_log=False,
        timeout_graceful_shutdown=SHUTDOWN_S,
    )
    server = uvicorn.Server(config)
    server.run()


if __name__ == "__main__":
    main()
