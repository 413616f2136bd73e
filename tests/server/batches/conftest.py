"""A batch service over a fake asker, that can be stopped and started anew on the same folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from server.batches import service
from tests.fakes.asker import FakeAsker
from tests.server.batches.bench import Bench


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    """Waiting takes no time."""
    monkeypatch.setattr(service, "WAIT_S", 0.001)
    monkeypatch.setattr(service, "FULL_DISK_S", 0.001)
    return Bench(tmp_path, FakeAsker())
