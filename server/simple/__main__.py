"""Starts the simple engine: `python -m server.simple --model … --uds …`."""

from __future__ import annotations

import torch
import uvicorn
from transformers.utils import logging

from galen.telemetry import configure_logging
from server.simple.app import create_app
from server.simple.engine import Engine
from server.simple.model import Model
from server.simple.options import parser
from server.simple.tokenizer import Tokenizer

SHUTDOWN_S = 3
"""Seconds that answers under way have to end; less than the leash allows."""


def main() -> None:
    options = parser().parse_args()
    configure_logging("engine")
    logging.disable_progress_bar()
    torch.set_num_threads(options.threads or torch.get_num_threads())
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
