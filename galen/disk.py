"""Writing to disk: a file is there whole or not at all, and a full disk is one clear error."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from galen.errors import StorageFull

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
"""No space, the user's share used up, or a file larger than the system allows."""


@contextmanager
def room() -> Iterator[None]:
    """Raises `StorageFull` where the system reports that there is no room."""
    try:
        yield
    except OSError as error:
        if error.errno not in _FULL:
            raise
        raise StorageFull("no room left on the disk; free some and try again") from None


def replace(path: Path, content: bytes) -> None:
    """Write aside and rename, so that a kill leaves the old file or the new one.

    Raises `StorageFull`, with the old file as it was.
    """
    draft = path.with_name(f".{path.name}.partial")
    try:
        with room():
            path.parent.mkdir(parents=True, exist_ok=True)
            draft.write_bytes(content)
            draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
