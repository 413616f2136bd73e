"""Results written to disk as they come, so that no crash loses them.

A journal's first line is its title. Every further line is one entry: its index, whether it is a
success, its JSON. An entry counts once its line break is written. A line that a kill or a full disk
cut short is overwritten by the next. In memory an entry takes 17 bytes, so files of any length fit.
"""

from __future__ import annotations

import fcntl
import json
import os
from array import array
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

from galen.disk import room
from galen.errors import Conflict

_MISSING, _FAILED, _GOOD = range(3)


class OtherWork(Conflict):
    """The file has another title than the one expected."""


class Journal:
    """Entries 0 to `size` - 1. An entry may be put again; the last one counts.

    `title` is one line that says what the entries belong to. Opening raises `OtherWork` if the file
    has another title, and `Conflict` if another process has it open.
    """

    def __init__(self, path: Path, title: str, size: int) -> None:
        self.path = path
        self._states = bytearray(size)
        self.size = size
        self._counts = [size, 0, 0]
        """Entries in each state. A count on demand would take longer with each entry."""
        self._spans = array("q", bytes(16 * size))
        """Start and length in bytes of each entry's line."""
        path.parent.mkdir(parents=True, exist_ok=True)
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        try:
            self._lock()
            self._end = self._recover(title.encode())
            if not self._end:
                self._append(title.encode() + b"\n")
        except BaseException:
            os.close(self._fd)
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        os.close(self._fd)

    def sync(self) -> None:
        """Return once the disk has every entry: a power cut loses none of them."""
        with room():
            os.fsync(self._fd)

    @property
    def good(self) -> int:
        return self._counts[_GOOD]

    @property
    def failed(self) -> int:
        return self._counts[_FAILED]

    def has(self, index: int) -> bool:
        return self._states[index] != _MISSING

    def is_good(self, index: int) -> bool:
        return self._states[index] == _GOOD

    def put(self, index: int, good: bool, entry: dict[str, Any]) -> None:
        """Keep one entry. Raises `StorageFull` and then keeps no part of it."""
        text = json.dumps(entry, ensure_ascii=False, separators=(",", ":"))
        self._note(index, good, *self._append(f"{index} {good:d} {text}\n".encode()))

    def read(self, index: int) -> bytes:
        """An entry's JSON with its line break, as it was put."""
        start, length = self._spans[2 * index : 2 * index + 2]
        return os.pread(self._fd, length, start).split(b" ", 2)[2]

    def _note(self, index: int, good: bool, start: int, length: int) -> None:
        state = _GOOD if good else _FAILED
        self._counts[self._states[index]] -= 1
        self._counts[state] += 1
        self._states[index] = state
        self._spans[2 * index], self._spans[2 * index + 1] = start, length

    def _append(self, line: bytes) -> tuple[int, int]:
        """Where the line begins and how long it is."""
        start, written, view = self._end, 0, memoryview(line)
        with room():
            while written < len(line):
                written += os.pwrite(self._fd, view[written:], start + written)
        self._end += written
        return start, len(line)

    def _lock(self) -> None:
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Conflict(f"{self.path}: another process is at work on it; wait for it") from None

    def _recover(self, title: bytes) -> int:
        """Note the file's entries; returns the length in bytes of its whole lines."""
        lines = self._whole_lines()
        first = next(lines, None)
        if first is None:
            return 0
        if first != title + b"\n":
            raise OtherWork(f"{self.path}: belongs to other work; move it away")
        end = len(first)
        for line in lines:
            index, good, _ = line.split(b" ", 2)
            self._note(int(index), good == b"1", end, len(line))
            end += len(line)
        return end

    def _whole_lines(self) -> Iterator[bytes]:
        with self.path.open("rb") as file:
            for line in file:
                if line.endswith(b"\n"):
                    yield line
