"""The simple engine's command line, with vLLM's names. Importing this loads no torch."""

from __future__ import annotations

import argparse
from pathlib import Path


def parser() -> argparse.ArgumentParser:
    """The parser for `python -m server.simple`."""
    parser = argparse.ArgumentParser(prog="python -m server.simple")
    parser.add_argument("--model", type=Path, required=True, help="the model's folder")
    parser.add_argument("--served-model-name", required=True)
    parser.add_argument("--uds", type=Path, required=True, help="Unix socket to listen on")
    parser.add_argument("--dtype", default="auto", help="torch's name; auto: as in the folder")
    parser.add_argument(
        "--max-model-len", type=int, required=True, help="prompt and answer, tokens"
    )
    parser.add_argument("--max-num-seqs", type=int, default=32, help="answers written at once")
    parser.add_argument("--threads", type=int, help="CPU threads; else OMP_NUM_THREADS")
    return parser
