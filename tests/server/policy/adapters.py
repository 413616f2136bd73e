"""A server for adapters, and adapters for it."""

from __future__ import annotations

from pathlib import Path

from server.settings import AdapterSettings
from tests.fakes.engine import write_version
from tests.server.harness import Launcher


def with_adapters(launcher: Launcher, max_loaded: int = 4) -> Launcher:
    return launcher.having(adapters=AdapterSettings(max_rank=8, max_loaded=max_loaded))


def adapter(root: Path, name: str, logprob: float, *, published: float | None = None) -> Path:
    return write_version(root, name, logprob, kind="adapter", published=published)
