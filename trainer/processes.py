"""One run in several processes, as `accelerate launch` starts them: who writes, who only learns."""

from __future__ import annotations

import os


def count() -> int:
    """How many processes share this run."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def number() -> int:
    """Which of them this one is, from 0."""
    return int(os.environ.get("RANK", "0"))


def share_weights() -> bool:
    """Whether each process holds only a part of the weights (FSDP, DeepSpeed)."""
    return any(f"ACCELERATE_USE_{name}" in os.environ for name in ("FSDP", "DEEPSPEED"))


def is_first() -> bool:
    """Whether this process writes for all: the only one, or the first of several."""
    return number() == 0
