"""What all tests share: where they are, and how Hypothesis behaves where nobody watches."""

from __future__ import annotations

import os
import signal
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from xdist.scheduler import LoadFileScheduling

settings.register_profile("ci", derandomize=True, deadline=None, print_blob=True)
settings.register_profile("person", deadline=None)
settings.load_profile("ci" if os.environ.get("CI") else "person")

# What a shell is set up for reaches neither the tests nor what they start: a proxy leads to no fake
# on loopback, and a real key would spend real money.
OURS = ("GALEN_KEYS", "GALEN_KEY", "GALEN_ENGINE_KEY")
TEACHERS = ("DEEPSEEK_API_KEY", "JUDGE_BASE_URL", "JUDGE_MODEL")
for name in list(os.environ):
    if name in OURS or name in TEACHERS or name.lower().endswith("_proxy"):
        del os.environ[name]

# A shell that starts the tests in the background has Ctrl-C ignored, and every process that a test
# starts would inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What starts the real engine comes first: it takes longest."""
    items.sort(key=lambda item: item.get_closest_marker("engine") is None)


class EngineOnOneWorker(LoadFileScheduling):
    """The tests of a file share a worker, and so do all that start the real engine: it starts
    once."""

    def _split_scope(self, nodeid: str) -> str:
        file = str(super()._split_scope(nodeid))
        return "engine" if _starts_engine(file) else file


@cache
def _starts_engine(file: str) -> bool:
    return "pytest.mark.engine" in (Path(__file__).parents[1] / file).read_text("utf-8")


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> EngineOnOneWorker:
    return EngineOnOneWorker(config, log)


@pytest.fixture
def root() -> Path:
    """The repository."""
    return Path(__file__).parents[1]
