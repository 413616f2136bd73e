"""One run in several processes, as `accelerate launch` starts them: who writes, who only learns."""

from __future__ import annotations

import os


def count() -> int:
    """How many processes share this run."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def is_first() -> bool:
    """Whether this process writes for all: the only one, or the first of several."""
    return os.environ.get("RANK", "0") == "0"
