"""Stands in for `galen` in the steps of `galen up`: same words, no model.

    python tests/fakes/galen_command.py judge serve STACK [--set …]
    python tests/fakes/galen_command.py judge qualify LABELS --rubric NAME …
    python tests/fakes/galen_command.py data prepare RECIPE
    python tests/fakes/galen_command.py train RECIPE [--set …]

A service answers every GET with 200. An examination says that the teacher has not passed. A stage
marks its run as finished, as one that has published a version. The environment makes one of them
fail: FAIL=judge, FAIL=qualify, FAIL=demo-sft; or wait without end: HANG=demo-sft.
"""

from __future__ import annotations

import os
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import pairwise
from pathlib import Path

from cli import stack
from trainer import recipes, runs


class Ready(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()


def maybe_fail(name: str) -> None:
    if os.environ.get("FAIL") == name:
        sys.exit(f"galen: {name} cannot\n  because of this")
    if os.environ.get("HANG") == name:
        print("hanging", flush=True)
        time.sleep(1000)


def main(words: list[str]) -> None:
    overrides = [word for before, word in pairwise(words) if before == "--set"]
    if words[1] == "qualify":
        maybe_fail("qualify")
        print(f"teacher           mock under {words[words.index('--rubric') + 1]}: not passed")
        return
    if words[1] == "serve":
        maybe_fail(words[0])
        host, port = stack.load(Path(words[2]), overrides).ports()[words[0]]
        ThreadingHTTPServer((host, port), Ready).serve_forever()
    if words[1] == "prepare":
        out = recipes.load_data(Path(words[2])).out
        out.mkdir(parents=True)
        (out / "data_card.md").write_text("")
        return
    recipe = recipes.load(Path(words[1]), overrides)
    maybe_fail(recipe.run)
    run = runs.Run(recipe)
    run.open()
    run.finish(version=f"{recipe.run}-0001")


if __name__ == "__main__":
    main(sys.argv[1:])
