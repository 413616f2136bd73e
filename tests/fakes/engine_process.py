"""A process that plays the engine for its supervisor: healthy over HTTP, with a child of its own.

    python tests/fakes/engine_process.py SOCKET PIDS [GATE]

It appends its own and its child's process id to the file PIDS, as one line, then serves any path.
With a GATE, a named pipe, it says that it loads its weights, and serves once the pipe was opened.
With - for SOCKET it does not start: it writes an error as vLLM does and ends. Told to end, it says
so.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from socketserver import UnixStreamServer
from types import FrameType


class Answers(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        pass


def main(socket: str, pids: Path, gate: Path | None) -> None:
    signal.signal(signal.SIGTERM, end)
    if socket == "-":
        print("ValueError: max_model_len is too large", flush=True)
        raise SystemExit(1)
    forever = [sys.executable, "-c", "import signal; signal.pause()"]
    child = subprocess.Popen(forever)
    with pids.open("a") as out:
        out.write(f"{os.getpid()} {child.pid}\n")
    if gate:
        print("INFO 11-21 12:00:00 [cpu_model_runner.py:68] Starting to load model", flush=True)
        gate.read_bytes()
    UnixStreamServer(socket, Answers).serve_forever()


def end(number: int, frame: FrameType | None) -> None:
    print("told to end", flush=True)
    raise SystemExit


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]) if sys.argv[3:] else None)
