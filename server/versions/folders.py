"""Whether a folder is fit to be read at all: what kinds of files it holds, and whether it stays so.

A version comes from whoever may publish, and is read by this process and by the engine. So it holds
plain files of known kinds alone: no link, which may lead elsewhere tomorrow; no pipe or device,
whose reading may never end; nothing that is code, or that runs code when it is read.
"""

from __future__ import annotations

import os
import re
import stat
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from galen.errors import VersionRefused

WEIGHTS = ".safetensors"
KINDS = frozenset({WEIGHTS, ".json", ".jinja", ".md", ".model", ".tiktoken", ".txt", ".yaml"})
"""Suffixes of what a model's folder holds. Those of pickles and of programs are not among them."""
MOST_ENTRIES = 1000
DEEPEST = 4
"""Levels of folders."""
LARGEST_TEXT = 64 * 1024 * 1024
"""Bytes of a file that holds no weights; a large vocabulary takes about 20 MiB."""
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._=-]{0,199}")

Stamp = tuple[tuple[str, int, int, int, int], ...]
"""Of each entry: path, inode, bytes, times of change of content and of status (ns). A file that is
swapped for another, even for a moment, leaves another stamp."""


def survey(folder: Path, most_bytes: int) -> Stamp:
    """The folder's stamp; `VersionRefused` for one that no version may have.

    `most_bytes` is what all its files together may hold.
    """
    entries: list[tuple[str, os.stat_result]] = []
    for path, entry in _walk(folder, folder.name, 1):
        if len(entries) >= MOST_ENTRIES:
            raise VersionRefused(f"{folder.name} holds more than {MOST_ENTRIES:,} entries")
        found = entry.stat(follow_symlinks=False)
        _refuse_kind(path, found)
        entries.append((path, found))
    total = sum(found.st_size for _, found in entries if stat.S_ISREG(found.st_mode))
    if total > most_bytes:
        raise VersionRefused(
            f"{folder.name} holds {total:,} bytes, more than a version of this base model may "
            f"({most_bytes:,})"
        )
    return tuple(
        (path, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)
        for path, found in sorted(entries, key=lambda pair: pair[0])
    )


def refuse_changed(folder: Path, stamp: Stamp) -> None:
    """`VersionRefused` if the folder is not what it was when its stamp was taken."""
    if survey(folder, sys.maxsize) != stamp:
        raise VersionRefused(
            f"{folder.name} was changed while it was loaded; publish under a new name and folder"
        )


def open_regular(path: Path) -> BinaryIO:
    """Open a plain file to read; `VersionRefused` for a link, a pipe or a device."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except FileNotFoundError:
        raise
    except OSError as error:
        why = error.strerror
        raise VersionRefused(f"{path.parent.name}/{path.name} cannot be read: {why}") from None
    file = os.fdopen(descriptor, "rb")
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        file.close()
        raise VersionRefused(f"{path.parent.name}/{path.name} is no plain file")
    return file


def read_text(path: Path) -> bytes:
    """A whole file that holds no weights. Raises `FileNotFoundError` if there is none."""
    with open_regular(path) as file:
        data = file.read(LARGEST_TEXT + 1)
    if len(data) > LARGEST_TEXT:
        raise VersionRefused(f"{path.parent.name}/{path.name} is larger than such a file is")
    return data


def _walk(folder: Path, shown: str, depth: int) -> Iterator[tuple[str, os.DirEntry[str]]]:
    """Everything in a folder, with its path from there; links are not followed."""
    try:
        with os.scandir(folder) as scan:
            for entry in scan:
                if not _NAME.fullmatch(entry.name):
                    raise VersionRefused(
                        f"{shown} holds a file with an unusual name; use letters, digits and ._=-"
                    )
                path = f"{shown}/{entry.name}"
                yield path, entry
                if entry.is_dir(follow_symlinks=False):
                    if depth == DEEPEST:
                        raise VersionRefused(f"{path}: folders in folders in folders; lay it flat")
                    yield from _walk(Path(entry.path), path, depth + 1)
    except OSError as error:
        raise VersionRefused(f"{shown} cannot be read: {error.strerror}") from None


def _refuse_kind(path: str, found: os.stat_result) -> None:
    if stat.S_ISLNK(found.st_mode):
        raise VersionRefused(f"{path} is a link; a version holds its files itself")
    if stat.S_ISDIR(found.st_mode):
        return
    if not stat.S_ISREG(found.st_mode):
        raise VersionRefused(f"{path} is no plain file")
    suffix = os.path.splitext(path)[1]  # noqa: PTH122 - the path is for messages, not of this disk
    if suffix not in KINDS:
        kinds = ", ".join(sorted(KINDS))
        raise VersionRefused(f"{path}: only safetensors and a model's texts are accepted ({kinds})")
    if suffix != WEIGHTS and found.st_size > LARGEST_TEXT:
        raise VersionRefused(f"{path} is larger than such a file is")
