"""Where a local engine listens: a Unix socket in a folder that only this user can enter.

A port of loopback is open to every user and program of the machine, past the gateway's keys, and
another may take it between its choice and its use.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path

from galen.errors import Unavailable

BASE_URL = "http://engine"
"""Of requests through a socket, where the host's name means nothing."""
LONGEST_TEMPORARY = 40
"""Bytes of a path to which the folder's name and the name of a socket of vLLM's own, 36 characters
long, can be added. The whole path of a socket may have 107 bytes, on macOS 103."""


def new_socket(temporary: str) -> Path:
    """A path for a socket, in a folder of `temporary` that is still to be made; or in one of /tmp,
    where that path would be too long."""
    fits = len(os.fsencode(temporary)) <= LONGEST_TEMPORARY
    return Path(temporary if fits else "/tmp", f"galen-{secrets.token_hex(8)}", "engine")


@contextlib.contextmanager
def private(folder: Path) -> Iterator[None]:
    """The folder exists within the block, new and empty at first, and for this user alone."""
    try:
        folder.mkdir(mode=0o700)
    except OSError as error:
        message = f"the engine's socket cannot be put into {folder}: {error.strerror}"
        raise Unavailable(message, retry_after_s=10) from error
    try:
        yield
    finally:
        # A folder that stays does no harm: the next start takes another name.
        shutil.rmtree(folder, ignore_errors=True)
