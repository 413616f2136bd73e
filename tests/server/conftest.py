"""A policy server before a fake engine, for every test here."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from galen.keys import KeyRing
from server.settings import ServerSettings
from tests.fakes.engine import write_base
from tests.server.harness import LIMIT_S, Launcher, Running


@pytest.fixture
def launcher(tmp_path: Path) -> Launcher:
    settings = ServerSettings(
        model=write_base(tmp_path / "base"),
        state=tmp_path / "state",
        versions_root=tmp_path / "versions",
        step_limit_s=LIMIT_S,
    )
    settings.versions_root.mkdir()
    return Launcher(settings, KeyRing({}))


@pytest.fixture
async def running(launcher: Launcher) -> AsyncIterator[Running]:
    async with launcher.start() as server:
        yield server
