"""Where a local engine listens: a short path, in a folder for one user alone."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from galen.errors import Unavailable
from server.engines.supervisor.address import LONGEST_TEMPORARY, new_socket, private

LONGEST_PATH = 103
"""Bytes of a socket's path on macOS; Linux allows four more."""
NAME_OF_VLLM = "d290f1ee-6c54-4b01-90e6-d701748f0851"


def test_every_socket_of_the_folder_has_a_path_that_can_be_bound() -> None:
    """However long the path of the folder for temporary files is; vLLM puts sockets there too."""
    for length in range(1, 200):
        path = new_socket("/" + "t" * length)
        assert len(os.fsencode(path.with_name(NAME_OF_VLLM))) <= LONGEST_PATH


def test_a_path_is_measured_in_bytes() -> None:
    """Of which a Chinese character takes three."""
    assert new_socket("/" + "文" * (LONGEST_TEMPORARY // 3)).parts[1] != "tmp"
    assert new_socket("/" + "文" * (LONGEST_TEMPORARY // 2)).parts[1] == "tmp"


def test_no_two_engines_share_a_folder() -> None:
    """Nor can anybody know its name beforehand."""
    assert new_socket("/tmp").parent != new_socket("/tmp").parent


def test_the_folder_is_for_its_owner_alone_and_goes_with_what_is_in_it(tmp_path: Path) -> None:
    """Also with a socket that nobody has removed, which would be in the next engine's way."""
    place = new_socket(str(tmp_path)).parent
    with private(place):
        assert place.stat().st_mode & 0o777 == 0o700
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(place / "engine"))
    assert not place.exists()


def test_a_folder_that_somebody_else_has_made_is_not_used(tmp_path: Path) -> None:
    """It might be theirs to look into; it is left as it is."""
    place = tmp_path / "galen-0"
    place.mkdir()
    with pytest.raises(Unavailable, match=r"galen-0: File exists"), private(place):
        raise AssertionError("it was used")
    assert place.is_dir()
