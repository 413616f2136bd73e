"""Whether two folders of weights have the same embeddings, byte for byte.

An engine may keep a copy of its output head in a layout of its own, made once when it starts: vLLM
does on a CPU. Weights that are read into it later are right only where that head is theirs too.
Both folders have passed `server.weights`, so that their headers are known to be sound.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from server.versions.weights import TIED_HEAD

EMBEDDINGS = ("model.embed_tokens.weight", TIED_HEAD)
CHUNK = 1024 * 1024
"""Bytes that are compared at once."""


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a tensor's bytes lie."""

    file: Path
    start: int
    length: int


def same(one: Path, other: Path) -> bool:
    """Whether the embeddings and, where both folders hold one, the heads are the same.

    Folders that cannot be read any more are not the same.
    """
    try:
        places, other_places = _places(one), _places(other)
        if places.keys() - {TIED_HEAD} != other_places.keys() - {TIED_HEAD}:
            return False
        shared = sorted(places.keys() & other_places.keys())
        return all(_same_bytes(places[name], other_places[name]) for name in shared)
    except OSError:
        return False


def _places(folder: Path) -> dict[str, _Place]:
    found = {}
    for file in sorted(folder.glob("*.safetensors")):
        with file.open("rb") as source:
            length = int.from_bytes(source.read(8), "little")
            header = json.loads(source.read(length))
        for name in EMBEDDINGS:
            if name in header:
                start, stop = header[name]["data_offsets"]
                found[name] = _Place(file, 8 + length + start, stop - start)
    return found


def _same_bytes(one: _Place, other: _Place) -> bool:
    if one.length != other.length:
        return False
    left = one.length
    with one.file.open("rb") as source, other.file.open("rb") as other_source:
        source.seek(one.start)
        other_source.seek(other.start)
        while left > 0:
            size = min(CHUNK, left)
            if source.read(size) != other_source.read(size):
                return False
            left -= size
    return True
