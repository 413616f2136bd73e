"""Whether a folder is safe to read as a version: it holds plain files of known kinds only.

No link, which may lead elsewhere tomorrow; no pipe or device, whose reading may never end; no code,
and nothing that runs code when it is read.
"""

from __future__ import annotations

import stat
from pathlib import Path

from galen.errors import VersionRefused

WEIGHTS = ".safetensors"
KINDS = frozenset({WEIGHTS, ".json", ".jinja", ".md", ".model", ".tiktoken", ".txt", ".yaml"})
"""Suffixes of the files in a model's folder, without those of pickles and programs."""


def refuse_unsafe(folder: Path) -> None:
    """`VersionRefused` for a folder that holds what no version may."""
    for path in folder.rglob("*"):
        # A name may hold anything.
        shown = ascii(f"{folder.name}/{path.relative_to(folder)}")[1:-1]
        try:
            mode = path.lstat().st_mode
        except OSError as error:
            raise VersionRefused(f"{shown} cannot be read: {error.strerror}") from None
        if stat.S_ISLNK(mode):
            raise VersionRefused(f"{shown} is a link; a version holds its files itself")
        if stat.S_ISDIR(mode):
            continue
        if not stat.S_ISREG(mode):
            raise VersionRefused(f"{shown} is no plain file")
        if path.suffix not in KINDS:
            kinds = ", ".join(sorted(KINDS))
            message = f"{shown}: only safetensors and a model's texts are accepted ({kinds})"
            raise VersionRefused(message)


def read_text(path: Path) -> bytes:
    """A file of a version, whole. Raises `FileNotFoundError` if there is none."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise
    except OSError as error:
        where = f"{path.parent.name}/{path.name}"
        raise VersionRefused(f"{where} cannot be read: {error.strerror}") from None
