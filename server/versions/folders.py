"""Whether a folder is safe to read: what kinds of files it holds, and whether it stays unchanged.

Anybody with the role may publish a version, and this process and the engine read it. So it may hold
plain files of known kinds only: no link, which may lead elsewhere tomorrow; no pipe or device,
whose reading may never end; no code, and nothing that runs code when it is read.
"""

from __future__ import annotations

import os
import re
import stat
import sys
from pathlib import Path

from galen.errors import VersionRefused

WEIGHTS = ".safetensors"
KINDS = frozenset({WEIGHTS, ".json", ".jinja", ".md", ".model", ".tiktoken", ".txt", ".yaml"})
"""Suffixes of the files in a model's folder, without those of pickles and programs."""
MOST_ENTRIES = 1000
DEEPEST = 4
"""Levels of folders."""
LARGEST_TEXT = 64 * 1024 * 1024
"""Bytes of a file that holds no weights; a large vocabulary takes about 20 MiB."""
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._=-]{0,199}")

Stamp = tuple[tuple[str, int, int, int, int], ...]
"""For each entry: path, inode, bytes, times of change of content and of status (ns). A file that is
swapped for another, even for a moment, changes the stamp."""


def survey(folder: Path, most_bytes: int) -> Stamp:
    """The folder's stamp; `VersionRefused` for one that no version may have.

    `most_bytes` is what all its files together may hold.
    """
    stamp: list[tuple[str, int, int, int, int]] = []
    total = 0
    try:
        for place, folders, files in os.walk(folder, onerror=_stop):
            for name in (*folders, *files):
                path = Path(place, name)
                found = path.lstat()
                shown = _checked(path, found, folder)
                total += found.st_size if stat.S_ISREG(found.st_mode) else 0
                times = (found.st_mtime_ns, found.st_ctime_ns)
                stamp.append((shown, found.st_ino, found.st_size, *times))
            if len(stamp) > MOST_ENTRIES:
                raise VersionRefused(f"{folder.name} holds more than {MOST_ENTRIES:,} entries")
    except OSError as error:
        raise VersionRefused(f"{folder.name} cannot be read: {error.strerror}") from None
    if total > most_bytes:
        raise VersionRefused(
            f"{folder.name} holds {total:,} bytes, more than a version of this base model may "
            f"({most_bytes:,})"
        )
    return tuple(sorted(stamp))


def refuse_changed(folder: Path, stamp: Stamp) -> None:
    """`VersionRefused` if the folder has changed since its stamp."""
    if survey(folder, sys.maxsize) != stamp:
        raise VersionRefused(
            f"{folder.name} was changed while it was loaded; publish under a new name and folder"
        )


def read_text(path: Path) -> bytes:
    """A plain file that holds no weights, whole. Raises `FileNotFoundError` if there is none."""
    shown = f"{path.parent.name}/{path.name}"
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise VersionRefused(f"{shown} cannot be read: {error.strerror}") from None
    with os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise VersionRefused(f"{shown} is no plain file")
        data = file.read(LARGEST_TEXT + 1)
    if len(data) > LARGEST_TEXT:
        raise VersionRefused(f"{shown} is larger than {LARGEST_TEXT:,} bytes")
    return data


def _stop(error: OSError) -> None:
    raise error


def _checked(path: Path, found: os.stat_result, folder: Path) -> str:
    """The entry's path from its folder's name on; `VersionRefused` if no version may hold it."""
    if not _NAME.fullmatch(path.name):
        raise VersionRefused(
            f"{folder.name} holds a file with an unusual name; use letters, digits and ._=-"
        )
    inside = path.relative_to(folder)
    shown = f"{folder.name}/{inside}"
    if stat.S_ISLNK(found.st_mode):
        raise VersionRefused(f"{shown} is a link; a version holds its files itself")
    if stat.S_ISDIR(found.st_mode):
        if len(inside.parts) >= DEEPEST:
            raise VersionRefused(f"{shown}: folders nested too deeply; lay it flat")
        return shown
    if not stat.S_ISREG(found.st_mode):
        raise VersionRefused(f"{shown} is no plain file")
    if path.suffix not in KINDS:
        kinds = ", ".join(sorted(KINDS))
        raise VersionRefused(
            f"{shown}: only safetensors and a model's texts are accepted ({kinds})"
        )
    if path.suffix != WEIGHTS and found.st_size > LARGEST_TEXT:
        raise VersionRefused(f"{shown} is larger than {LARGEST_TEXT:,} bytes")
    return shown
