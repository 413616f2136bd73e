"""Where a local engine listens: a Unix socket in a folder that only this user can enter.

Every user and program of the machine can reach a port of loopback, past the gateway's keys. And
another program may take the port between its choice and its use.
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
"""For requests through a socket, where the host's name means nothing."""
LONGEST_TEMPORARY = 40
"""Bytes. The folder's name and that of vLLM's own socket, 36 characters, are added to this path. A
socket's whole path may have 107 bytes, on macOS 103."""


def new_socket(temporary: str) -> Path:
    """A path for a socket in a new folder of `temporary`, or of /tmp if that would be too long.
    `private` makes the folder."""
    fits = len(os.fsencode(temporary)) <= LONGEST_TEMPORARY
    return Path(temporary if fits else "/tmp", f"galen-{secrets.token_hex(8)}", "engine")


@contextlib.contextmanager
def private(folder: Path) -> Iterator[None]:
    """The folder exists within the block: new, empty at first, and for this user only."""
    try:
        folder.mkdir(mode=0o700)
    except OSError as error:
        message = f"the engine's socket cannot be put into {folder}: {error.strerror}"
        raise Unavailable(message, retry_after_s=10) from error
    try:
        yield
    finally:
        # A folder left behind does no harm: the next start chooses another name.
        shutil.rmtree(folder, ignore_errors=True)
