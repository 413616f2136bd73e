"""Starts the simple engine: `python -m server.simple --model … --uds …`."""

from __future__ import annotations

import uvicorn

from galen.telemetry import configure_logging
from server.simple.app import create_app
from server.simple.engine import load
from server.simple.options import parse

SHUTDOWN_S = 3
"""Seconds that answers under way have to end; less than the leash allows."""


def main() -> None:
    options, socket = parse()
    configure_logging("engine")

    def on_end() -> None:
        server.should_exit = True

    app = create_app(load(options), on_end)
    config = uvicorn.Config(
        app,
        uds=str(socket),
        log_config=None,
        access_log=False,
        timeout_graceful_shutdown=SHUTDOWN_S,
    )
    server = uvicorn.Server(config)
    server.run()


if __name__ == "__main__":
    main()
