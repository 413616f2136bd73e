"""What all tests share: where they are, and how Hypothesis behaves where nobody watches."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import settings

settings.register_profile("ci", derandomize=True, deadline=None, print_blob=True)
settings.register_profile("person", deadline=None)
settings.load_profile("ci" if os.environ.get("CI") else "person")


@pytest.fixture
def root() -> Path:
    """The repository."""
    return Path(__file__).parents[1]
