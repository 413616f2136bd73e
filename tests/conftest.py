"""What all tests share: where they are, and how Hypothesis behaves where nobody watches."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
from hypothesis import settings

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


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """With two workers, a file's tests share one, and so do all that start the real engine: it
    starts once. They come first, since they take longest."""
    items.sort(key=lambda item: item.get_closest_marker("engine") is None)
    for item in items:
        is_engine = item.get_closest_marker("engine") is not None
        group = "engine" if is_engine else f"{item.path.parent.name}.{item.path.stem}"
        item.add_marker(pytest.mark.xdist_group(group))


@pytest.fixture
def root() -> Path:
    """The repository."""
    return Path(__file__).parents[1]
