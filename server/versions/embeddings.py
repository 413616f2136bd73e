"""Whether two folders of weights have the same embeddings, byte for byte.

An engine may keep a copy of its output head in a layout of its own, made once when it starts: vLLM
does on a CPU. Weights that are read into it later are right only where that head is theirs too.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from galen.errors import VersionRefused
from server.versions import weights
from server.versions.weights import TIED_HEAD, Tensor

EMBEDDINGS = ("model.embed_tokens.weight", TIED_HEAD)
CHUNK = 1024 * 1024
"""Bytes that are compared at once."""


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a tensor's bytes lie."""

    file: Path
    tensor: Tensor


def same(one: Path, other: Path) -> bool:
    """Whether the embeddings and, where both folders hold one, the heads are the same.

    Folders that cannot be read, or not any more, are not the same.
    """
    try:
        places, other_places = _places(one), _places(other)
        if places.keys() - {TIED_HEAD} != other_places.keys() - {TIED_HEAD}:
            return False
        shared = sorted(places.keys() & other_places.keys())
        return all(_same_bytes(places[name], other_places[name]) for name in shared)
    except (OSError, VersionRefused):
        return False


def _places(folder: Path) -> dict[str, _Place]:
    found: dict[str, _Place] = {}
    for file in weights.weight_files(folder):
        tensors = weights.tensors_in(file)
        found |= {name: _Place(file, tensors[name]) for name in EMBEDDINGS if name in tensors}
    return found


def _same_bytes(one: _Place, other: _Place) -> bool:
    left = one.tensor.stop - one.tensor.start
    if left != other.tensor.stop - other.tensor.start:
        return False
    with one.file.open("rb") as source, other.file.open("rb") as other_source:
        source.seek(one.tensor.start)
        other_source.seek(other.tensor.start)
        while left > 0:
            size = min(CHUNK, left)
            if source.read(size) != other_source.read(size):
                return False
            left -= size
    return True
