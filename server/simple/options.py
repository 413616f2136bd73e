"""What the simple engine is started with. Importing this loads no torch."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Options:
    """The gateway's settings, as its command line says them in vLLM's names."""

    model: Path
    served_model_name: str
    dtype: str
    max_model_len: int
    """Tokens of prompt and completion together."""
    max_lora_rank: int
    max_loras: int
    """Adapters held at once; 0 for an engine of merged weights."""


def parse(words: Sequence[str] | None = None) -> tuple[Options, Path]:
    """The command line as options and the socket to listen on; ends the process if it is wrong."""
    parser = argparse.ArgumentParser(
        prog="python -m server.simple",
        description="vLLM's HTTP surface on transformers. Threads are set by OMP_NUM_THREADS.",
    )
    parser.add_argument("--model", type=Path, required=True, help="the model's folder")
    parser.add_argument("--served-model-name", required=True)
    parser.add_argument("--uds", type=Path, required=True, help="Unix socket to listen on")
    parser.add_argument("--dtype", default="auto")
    parser.add_argument("--max-model-len", type=int, required=True)
    parser.add_argument("--max-lora-rank", type=int, default=0)
    parser.add_argument("--max-loras", type=int, default=0, help="adapters held at once")
    said = vars(parser.parse_args(words))
    socket = said.pop("uds")
    return Options(**said), socket
