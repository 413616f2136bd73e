"""SHA-256 of canonical JSON and of folders."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any


def of_json(value: Any) -> str:
    """SHA-256 of `value` as JSON with sorted keys; types are kept apart (1, 1.0 and "1" differ)."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode("ascii")).hexdigest()


def of_file(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def of_folder(folder: Path, *, leave_out: frozenset[str] = frozenset()) -> str:
    """SHA-256 over every file's relative path and content; `leave_out` names top-level files."""
    names = sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())
    return of_json([[name, of_file(folder / name)] for name in names if name not in leave_out])
