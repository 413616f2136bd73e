"""A process that plays the engine for its supervisor: healthy over HTTP, with a child of its own.

    python tests/fakes/engine_process.py PORT PIDS

It appends its own and its child's process id to the file PIDS, as one line, then serves `/health`.
With PORT 0 it does not start: it writes an error as vLLM does and ends.
"""

from __future__ import annotations

import os
import subprocess
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path


class Health(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        pass


def main(port: int, pids: Path) -> None:
    if port == 0:
        print("ValueError: max_model_len is too large", flush=True)
        raise SystemExit(1)
    forever = [sys.executable, "-c", "import signal; signal.pause()"]
    child = subprocess.Popen(forever)
    with pids.open("a") as out:
        out.write(f"{os.getpid()} {child.pid}\n")
    HTTPServer(("127.0.0.1", port), Health).serve_forever()


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]))
