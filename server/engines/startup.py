"""What an engine is doing while it starts, told from its log.

vLLM's words change from one version to the next. Where none is known, only the seconds are told.
"""

from __future__ import annotations

import logging
import re
from pathlib import Path

from server.engines.launch import tail_of

log = logging.getLogger(__name__)

STAGES = (
    (r"non-default args", "reading its configuration"),
    (r"Resolved architecture", "starting its core"),
    (r"Initializing a V1 LLM engine", "building the model"),
    (r"Starting to load model|Loading safetensors", "loading the weights"),
    (r"Loading weights took", "preparing the cache"),
    (r"Compiling a graph|Dynamo bytecode transform", "compiling"),
    (r"KV cache size:", "warming up"),
    (r"Capturing CUDA graph", "recording CUDA graphs"),
    (r"init engine \(|Starting vLLM server", "opening its port"),
)
"""Words in the log, and the stage that they begin; the later, the further."""


class StartUp:
    """Follows one start. `stage` is the furthest that was reached; None before the first."""

    def __init__(self, log_file: Path) -> None:
        self._log_file = log_file
        self._reached = 0

    @property
    def stage(self) -> str | None:
        text = tail_of(self._log_file)
        for number in range(len(STAGES), self._reached, -1):
            pattern, words = STAGES[number - 1]
            if re.search(pattern, text):
                self._reached = number
                log.info("engine starting", extra={"stage": words})
                break
        return STAGES[self._reached - 1][1] if self._reached else None

    def describe(self, seconds: float) -> str:
        """The stage in words, with the seconds since the start."""
        doing = f": {stage}," if (stage := self.stage) else " for"
        return f"the engine is starting{doing} {seconds:.0f} s"
