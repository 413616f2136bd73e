"""Digests tell apart whatever differs."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from galen.digest import of_file, of_folder, of_json


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two files, one of them in a folder below."""
    made = tmp_path / "adapter"
    (made / "deep").mkdir(parents=True)
    (made / "a.txt").write_text("one")
    (made / "deep" / "b.txt").write_text("two")
    return made


def test_types_are_kept_apart() -> None:
    """Values that only look alike have different digests."""
    values = [1, 1.0, "1", True, None, "null", [1], {"1": 1}]
    assert len({of_json(value) for value in values}) == len(values)


def test_the_order_of_fields_does_not_matter() -> None:
    """An object is the same object however its fields are written down."""
    assert of_json({"a": 1, "b": [2]}) == of_json({"b": [2], "a": 1})


def test_json_is_digested_in_one_agreed_form() -> None:
    """The digest is SHA-256 of the compact ASCII form, so that other tools can compute it."""
    expected = hashlib.sha256(b'{"a":"\\u75db","b":1}').hexdigest()
    assert of_json({"b": 1, "a": "痛"}) == expected


def test_a_file_is_digested_by_its_bytes(tmp_path: Path) -> None:
    """A file's digest is what `sha256sum` prints."""
    path = tmp_path / "bytes"
    path.write_bytes(b"\x00\xff")
    assert of_file(path) == hashlib.sha256(b"\x00\xff").hexdigest()


def test_a_copied_folder_has_the_same_digest(folder: Path, tmp_path: Path) -> None:
    """Where a folder lies is no part of what it is."""
    before = of_folder(folder)
    assert of_folder(folder.rename(tmp_path / "elsewhere")) == before


def test_a_folder_changes_with_a_files_content(folder: Path) -> None:
    """One changed byte in a file below changes the folder."""
    before = of_folder(folder)
    (folder / "deep" / "b.txt").write_text("twa")
    assert of_folder(folder) != before


def test_a_folder_changes_with_a_files_name(folder: Path) -> None:
    """The same content under another name is another folder."""
    before = of_folder(folder)
    (folder / "deep" / "b.txt").rename(folder / "b.txt")
    assert of_folder(folder) != before


def test_a_file_left_out_does_not_count(folder: Path) -> None:
    """Leaving out a top-level name leaves out that file, and not its namesake below."""
    leave_out = frozenset({"note.json"})
    before = of_folder(folder, leave_out=leave_out)
    (folder / "note.json").write_text("{}")
    assert of_folder(folder, leave_out=leave_out) == before
    (folder / "deep" / "note.json").write_text("{}")
    assert of_folder(folder, leave_out=leave_out) != before
