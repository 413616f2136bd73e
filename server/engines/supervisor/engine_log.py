"""What an engine's log says of its end."""

from __future__ import annotations

import re
from pathlib import Path

from server.engines.supervisor import leash

LONGEST_REASON = 400
"""Characters."""
TAIL_BYTES = 65536
_ERROR = re.compile(r"(?:\b\w*(?:Error|Exception)|\berror): .+")
_HARMLESS = re.compile(r" (?:DEBUG|INFO|WARNING) \d\d-\d\d ")
_CONSEQUENCE = "root cause"


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
