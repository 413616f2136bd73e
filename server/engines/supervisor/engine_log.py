"""What an engine's log says: what it does while it starts, and why it ended.

vLLM's words change from one version to the next. If none matches, only the seconds are shown.
"""

from __future__ import annotations

import logging
import re
from pathlib import Path

from server.engines.supervisor import leash

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
"""Patterns in the log, each with the stage that it begins, in order."""
LONGEST_REASON = 400
"""Characters."""
TAIL_BYTES = 65536
_ERROR = re.compile(r"(?:\b\w*(?:Error|Exception)|\berror): .+")
_HARMLESS = re.compile(r" (?:DEBUG|INFO|WARNING) \d\d-\d\d ")
_CONSEQUENCE = "root cause"


class StartUp:
    """Follows one start. `stage` is the furthest that was reached; None before the first."""

    def __init__(self, log_file: Path) -> None:
        self._log_file = log_file
        self._reached = 0

    @property
    def stage(self) -> str | None:
        text = _tail(self._log_file)
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


def last_error(log_file: Path) -> str:
    """The last error in the engine's log that is not a mere consequence of another."""
    if not log_file.exists():
        return "it left no log"
    lines = [line for line in _tail(log_file).splitlines() if line.strip()]
    lines = [line for line in lines if not _HARMLESS.search(line)]
    below = ""
    for line in reversed(lines):
        found = _ERROR.search(line)
        if found and _CONSEQUENCE not in line:
            # pydantic says on the line below what is wrong.
            detail = f": {below.strip()}" if "validation error" in line else ""
            return (found.group(0) + detail)[:LONGEST_REASON]
        below = line
    return lines[-1].strip()[:LONGEST_REASON] if lines else "its log is empty"


def _tail(log_file: Path) -> str:
    """The end of the log since the engine's start, also if it was just rotated."""
    tail = _end_of(log_file)
    if 0 < len(tail) < TAIL_BYTES and not tail.startswith(leash.FIRST_LINE):
        tail = (_end_of(log_file.with_suffix(".log.1")) + tail)[-TAIL_BYTES:]
    return tail.removeprefix(leash.FIRST_LINE).decode("utf-8", "replace")


def _end_of(file: Path) -> bytes:
    try:
        with file.open("rb") as source:
            source.seek(max(0, file.stat().st_size - TAIL_BYTES))
            return source.read()
    except FileNotFoundError:
        return b""
