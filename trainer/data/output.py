"""Rows into a file: JSON lines, or one JSON array where the name ends in `.json`."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

from galen import disk
from galen.errors import InvalidInput

SUFFIXES = (".jsonl", ".json")
Write = Callable[[Mapping[str, Any]], None]


@contextmanager
def writing(path: Path) -> Iterator[Write]:
    """A function that writes one row. The file appears when the block ends without an error.

    Raises `InvalidInput` for a name with another ending, `StorageFull` for a full disk.
    """
    if path.suffix.lower() not in SUFFIXES:
        raise InvalidInput(f"{path}: name it with one of these endings: {', '.join(SUFFIXES)}")
    if path.is_dir():
        raise InvalidInput(f"{path}: a folder; name a file in it")
    draft = path.with_name(f".{path.name}.partial")
    try:
        with disk.room():
            path.parent.mkdir(parents=True, exist_ok=True)
            with draft.open("w", encoding="utf-8") as file:
                yield from _written(file, is_array=path.suffix.lower() == ".json")
            draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)


def _written(file: TextIO, *, is_array: bool) -> Iterator[Write]:
    first, between, last = ("[\n", ",\n", "\n]\n") if is_array else ("", "\n", "\n")
    before = first

    def write(row: Mapping[str, Any]) -> None:
        nonlocal before
        file.write(before + json.dumps(row, ensure_ascii=False, default=str))
        before = between

    yield write
    if before == between:
        file.write(last)
    elif is_array:
        file.write(first + last)
