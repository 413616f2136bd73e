"""RESULTS.md: each script rewrites its own section."""

from __future__ import annotations

import os
import platform
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

FILE = Path(__file__).with_name("RESULTS.md")
_HEAD = """# Measurements

The script of the same name writes each section; `make prove` runs them all. Ratios compare what was
measured in turns in one run on one machine, which also runs the load generator.
"""


def record(script: str, rows: Sequence[tuple[str, str, str]]) -> None:
    """Print and store a table of (what was measured, figure, target)."""
    name = Path(script).stem
    when = f"{datetime.now(UTC):%Y-%m-%d}, {os.cpu_count()} cores, {platform.machine()}"
    lines = [f"## {name}", "", when, "", "| measured | figure | target |", "|---|---|---|"]
    lines += [f"| {what} | {figure} | {target} |" for what, figure, target in rows]
    section = "\n".join(lines) + "\n"
    print(section)
    text = FILE.read_text("utf-8") if FILE.exists() else _HEAD
    sections = re.split(r"(?m)^(?=## )", text)
    kept = [part.rstrip() + "\n" for part in sections if not part.startswith(f"## {name}\n")]
    FILE.write_text("\n".join([kept[0], *sorted([*kept[1:], section])]), encoding="utf-8")


def as_met(is_met: bool, target: str) -> str:
    return f"{target}: {'met' if is_met else 'MISSED'}"
