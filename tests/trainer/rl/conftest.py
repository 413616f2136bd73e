"""The loop's two services as fakes, and a toy policy before them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fakes.loop import Loop, looped


@pytest.fixture
def loop(toy: Path, tmp_path: Path) -> Iterator[Loop]:
    with looped(toy, tmp_path) as found:
        yield found
