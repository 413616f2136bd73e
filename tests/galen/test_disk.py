"""A file is there whole or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest

from galen import disk
from galen.errors import StorageFull
from tests.fakes.small_disk import small_disk


def test_a_file_that_does_not_fit_leaves_the_old_one(tmp_path: Path) -> None:
    """And nothing half written beside it."""
    path = tmp_path / "state.json"
    disk.replace(path, b"old")
    with small_disk(4096), pytest.raises(StorageFull, match="no room"):
        disk.replace(path, b"x" * 8192)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_other_troubles_stay_what_they_are(tmp_path: Path) -> None:
    """Only a lack of room is a lack of room."""
    with pytest.raises(IsADirectoryError):
        disk.replace(tmp_path, b"x")
