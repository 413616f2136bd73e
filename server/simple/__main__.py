"""Starts the simple engine: `python -m server.simple --model … --uds …`."""

from __future__ import annotations

import argparse
from pathlib import Path

import uvicorn
from transformers.utils import logging

from galen.telemetry import configure_logging
from server.simple.app import create_app
from server.simple.engine import Engine
from server.simple.model import Model
from server.simple.tokenizer import Tokenizer

SHUTDOWN_S = 3
"""Seconds that answers under way have to end; less than the leash allows."""


def parser() -> argparse.ArgumentParser:
    """The command line, with vLLM's names."""
    parser = argparse.ArgumentParser(prog="python -m server.simple")
    parser.add_argument("--model", type=Path, required=True, help="the model's folder")
    parser.add_argument("--served-model-name", required=True)
    parser.add_argument("--uds", type=Path, required=True, help="Unix socket to listen on")
    parser.add_argument("--dtype", default="auto", help="torch's name; auto: as in the folder")
    length = "prompt and answer, tokens"
    parser.add_argument("--max-model-len", type=int, required=True, help=length)
    parser.add_argument("--max-num-seqs", type=int, default=32, help="answers written at once")
    return parser


def main() -> None:
    options = parser().parse_args()
    configure_logging("engine")
    logging.disable_progress_bar()
    model = Model(options.model, options.dtype, options.max_model_len)
    engine = Engine(model, options.max_num_seqs)
    app = create_app(engine, Tokenizer(options.model, model), options.served_model_name)
    config = uvicorn.Config(app, uds=str(options.uds), log_config=None, access_log=False)
    config.timeout_graceful_shutdown = SHUTDOWN_S
    server = uvicorn.Server(config)
    engine.on_end = lambda: setattr(server, "should_exit", True)
    server.run()


if __name__ == "__main__":
    main()
