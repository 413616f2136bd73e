"""A batch service over a fake asker, that can be stopped and started anew on the same folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.fakes.asker import FakeAsker
from tests.server.batches.bench import Bench


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path, FakeAsker())
