"""What a version's folder holds, checked before the engine sees it.

Only safetensors are taken: the other formats are pickles, which run code when they are read. Of
each file the header is read and compared with the file's size, so a cut-off file is found here and
not half-way through a load. Merged weights must hold exactly the base's tensors, since vLLM keeps
the old value of any that is missing.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from galen.errors import VersionRefused

PICKLES = frozenset({".bin", ".pt", ".pth", ".ckpt", ".pickle", ".pkl"})
LONGEST_HEADER = 100 * 1024 * 1024
"""Bytes."""
BYTES = {
    **{"F64": 8, "I64": 8, "F32": 4, "I32": 4, "F16": 2, "BF16": 2, "I16": 2},
    **{"I8": 1, "U8": 1, "BOOL": 1, "F8_E4M3": 1, "F8_E5M2": 1},
}
"""Of one element. A type that vLLM cannot read would end the engine in mid-load."""
ADAPTER_CONFIG = "adapter_config.json"
TIED_HEAD = "lm_head.weight"
"""A model with tied embeddings may or may not write its head."""

Shapes = dict[str, tuple[int, ...]]


@dataclass(frozen=True, slots=True)
class Adapter:
    """The part of PEFT's configuration that vLLM is particular about."""

    rank: int
    unsupported: tuple[str, ...]


def refuse_pickles(folder: Path) -> None:
    found = sorted(p.name for p in folder.rglob("*") if p.suffix.lower() in PICKLES)
    if found:
        raise VersionRefused(f"{folder.name} holds {found[0]}: only safetensors are accepted")


def shapes_of(folder: Path) -> Shapes:
    """Name and shape of every tensor in the folder's safetensors files."""
    files = sorted(folder.glob("*.safetensors"))
    if not files:
        raise VersionRefused(f"{folder.name} holds no .safetensors file")
    shapes: Shapes = {}
    for file in files:
        shapes |= _header(file)
    return shapes


def compare(name: str, found: Shapes, base: Shapes) -> None:
    """Refuse merged weights whose tensors are not the base's, naming the first that is not."""
    for tensor in sorted((found.keys() ^ base.keys()) - {TIED_HEAD}):
        what = "lacks" if tensor in base else "has an unknown"
        raise VersionRefused(f"{name}: {what} tensor {tensor}; is it of another base model?")
    for tensor in sorted(found.keys() & base.keys()):
        if found[tensor] != base[tensor]:
            shapes = f"shape {list(found[tensor])}, the base model's {list(base[tensor])}"
            raise VersionRefused(f"{name}: {tensor} has {shapes}")


def read_adapter(folder: Path) -> Adapter:
    path = folder / ADAPTER_CONFIG
    try:
        config = json.loads(path.read_text("utf-8"))
        rank = int(config["r"])
    except FileNotFoundError:
        raise VersionRefused(f"{folder.name} holds no {ADAPTER_CONFIG}") from None
    except (ValueError, KeyError, TypeError):
        raise VersionRefused(f"{folder.name}/{ADAPTER_CONFIG} is not PEFT's") from None
    unsupported = {
        "use_dora": bool(config.get("use_dora")),
        "bias": config.get("bias", "none") != "none",
        "modules_to_save": bool(config.get("modules_to_save")),
    }
    return Adapter(rank, tuple(name for name, wrong in unsupported.items() if wrong))


def _header(file: Path) -> Shapes:
    """The tensors that a safetensors file declares; refused if the file does not hold them.

    The format: eight bytes with the header's length, the header as JSON, then the tensors' bytes.
    """
    size = file.stat().st_size
    with file.open("rb") as source:
        length = int.from_bytes(source.read(8), "little")
        if size < 8 or length > min(LONGEST_HEADER, size - 8):
            raise _corrupt(file, "it is cut off or not a safetensors file")
        raw = source.read(length)
    try:
        entries: dict[str, Any] = json.loads(raw)
        entries.pop("__metadata__", None)
        shapes = {name: tuple(int(n) for n in entry["shape"]) for name, entry in entries.items()}
        spans = {name: (*entry["data_offsets"], entry["dtype"]) for name, entry in entries.items()}
        wrong = [name for name, span in spans.items() if not _fits(shapes[name], *span)]
        end = max((int(stop) for _, stop, _ in spans.values()), default=0)
    except (ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError):
        raise _corrupt(file, "its header cannot be read") from None
    if wrong:
        raise _corrupt(
            file, f"tensor {wrong[0]} is of an unknown type or another size than it says"
        )
    if 8 + length + end != size:
        raise _corrupt(file, f"it declares {8 + length + end:,} bytes and has {size:,}")
    return shapes


def _fits(shape: tuple[int, ...], start: int, stop: int, dtype: str) -> bool:
    """Whether a tensor takes as many bytes as its shape and type say."""
    return dtype in BYTES and stop - start == math.prod(shape) * BYTES[dtype]


def _corrupt(file: Path, why: str) -> VersionRefused:
    return VersionRefused(f"{file.parent.name}/{file.name} is corrupt: {why}")
