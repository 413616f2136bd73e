"""What a version's weights are, checked before the engine sees them.

Of each file the header is read and compared with the file's size, so a cut-off file is found here
and not half-way through a load. Merged weights must hold exactly the base's tensors, since vLLM
keeps the old value of any that is missing.
"""

from __future__ import annotations

import json
import math
import os
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from galen.errors import VersionRefused
from server.versions import folders

LONGEST_HEADER = 16 * 1024 * 1024
"""Bytes; a hundred thousand tensors need about as much."""
MOST_DIMENSIONS = 8
LARGEST_DIMENSION = 2**40
BYTES = {
    **{"F64": 8, "I64": 8, "F32": 4, "I32": 4, "F16": 2, "BF16": 2, "I16": 2},
    **{"I8": 1, "U8": 1, "BOOL": 1, "F8_E4M3": 1, "F8_E5M2": 1},
}
"""Of one element. A type that vLLM cannot read would end the engine in mid-load."""
ADAPTER_CONFIG = "adapter_config.json"
CONFIGS = ("config.json", "tokenizer_config.json", "generation_config.json", ADAPTER_CONFIG)
_UNSUPPORTED = (
    *("use_dora", "modules_to_save", "rank_pattern", "alpha_pattern", "lora_bias", "use_qalora"),
    *("use_bdlora", "alora_invocation_tokens", "layer_replication", "target_parameters"),
)
"""Of PEFT's configuration: what vLLM refuses, ignores, or reads as a regular expression."""
_PLAIN_STARTS = ("gaussian", "eva", "orthogonal", "mica", "lora_ga")
"""Initialisations that leave the base model's weights as they are."""
TIED_HEAD = "lm_head.weight"
"""A model with tied embeddings may or may not write its head."""

Shapes = dict[str, tuple[int, ...]]


@dataclass(frozen=True, slots=True)
class Tensor:
    """What a file's header says of one tensor; `start` and `stop` are bytes from its beginning."""

    shape: tuple[int, ...]
    start: int
    stop: int


@dataclass(frozen=True, slots=True)
class Adapter:
    """The part of PEFT's configuration that vLLM is particular about."""

    rank: int
    unsupported: tuple[str, ...]


def refuse_code(folder: Path) -> None:
    """Refuse a folder whose configuration names code to be run."""
    for name in CONFIGS:
        try:
            config = json.loads(folders.read_text(folder / name))
        except FileNotFoundError:
            continue
        except (ValueError, RecursionError):
            raise VersionRefused(f"{folder.name}/{name} is not JSON") from None
        if not isinstance(config, dict) or config.get("auto_map"):
            why = "names code of its own (auto_map)" if isinstance(config, dict) else "is no object"
            raise VersionRefused(f"{folder.name}/{name} {why}, which is never run here")


def shapes_of(folder: Path) -> Shapes:
    """Name and shape of every tensor in the folder's safetensors files."""
    files = weight_files(folder)
    if not files:
        raise VersionRefused(f"{folder.name} holds no .safetensors file")
    shapes: Shapes = {}
    for file in files:
        found = tensors_in(file)
        if twice := found.keys() & shapes.keys():
            raise VersionRefused(f"{folder.name} holds the tensor {min(twice)!r} twice")
        shapes |= {name: tensor.shape for name, tensor in found.items()}
    return shapes


def weight_files(folder: Path) -> list[Path]:
    """The safetensors files of a folder, in the order of their names."""
    return sorted(folder.glob(f"*{folders.WEIGHTS}"))


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
    try:
        config = json.loads(folders.read_text(folder / ADAPTER_CONFIG))
        rank = config["r"]
        scale = config.get("lora_alpha", 1)
    except FileNotFoundError:
        raise VersionRefused(f"{folder.name} holds no {ADAPTER_CONFIG}") from None
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise VersionRefused(f"{folder.name}/{ADAPTER_CONFIG} is not PEFT's") from None
    numbers = isinstance(rank, int) and isinstance(scale, int | float)
    if not numbers or rank < 1 or not math.isfinite(scale):
        raise VersionRefused(f"{folder.name}/{ADAPTER_CONFIG} is not PEFT's: r or lora_alpha")
    start = config.get("init_lora_weights")
    wrong = {name: bool(config.get(name)) for name in _UNSUPPORTED}
    wrong["bias"] = config.get("bias", "none") != "none"
    wrong["init_lora_weights"] = isinstance(start, str) and start.lower() not in _PLAIN_STARTS
    return Adapter(rank, tuple(sorted(name for name, is_wrong in wrong.items() if is_wrong)))


def tensors_in(file: Path) -> dict[str, Tensor]:
    """The tensors that a safetensors file declares; refused if the file does not hold them.

    The format: eight bytes with the header's length, the header as JSON, then the tensors' bytes.
    """
    raw, size = _header(file)
    first = 8 + len(raw)
    try:
        entries: dict[str, Any] = json.loads(raw)
        entries.pop("__metadata__", None)
        spans = {name: (*entry["data_offsets"], entry["dtype"]) for name, entry in entries.items()}
        shapes = {name: tuple(entry["shape"]) for name, entry in entries.items()}
        wrong = [name for name, span in spans.items() if not _fits(shapes[name], *span)]
    except (ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError):
        raise _corrupt(file, "its header cannot be read") from None
    if wrong:
        shown = wrong[0][:100].encode("ascii", "replace").decode()
        raise _corrupt(file, f"tensor {shown} is of an unknown type or another size than it says")
    places = sorted((start, stop) for start, stop, _ in spans.values())
    if any(stop != start for (_, stop), (start, _) in pairwise([(0, 0), *places])):
        raise _corrupt(file, "its tensors overlap, or leave bytes between them")
    declared = first + max((stop for _, stop in places), default=0)
    if declared != size:
        raise _corrupt(file, f"it declares {declared:,} bytes and has {size:,}")
    return {
        name: Tensor(shapes[name], first + start, first + stop)
        for name, (start, stop, _) in spans.items()
    }


def _header(file: Path) -> tuple[bytes, int]:
    """A file's header as it stands there, and the size of the file in bytes."""
    try:
        with folders.open_regular(file) as source:
            size = os.fstat(source.fileno()).st_size
            length = int.from_bytes(source.read(8), "little")
            if size < 8 or length > min(LONGEST_HEADER, size - 8):
                raise _corrupt(file, "it is cut off or not a safetensors file")
            return source.read(length), size
    except OSError as error:
        reason = error.strerror
        raise VersionRefused(f"{file.parent.name}/{file.name} cannot be read: {reason}") from None


def _fits(shape: tuple[int, ...], start: int, stop: int, dtype: str) -> bool:
    """Whether a tensor is one, and takes as many bytes as its shape and type say."""
    numbers = (*shape, start, stop)
    if len(shape) > MOST_DIMENSIONS or any(type(number) is not int for number in numbers):
        return False
    if any(not 0 <= number <= LARGEST_DIMENSION for number in numbers):
        return False
    return dtype in BYTES and stop - start == math.prod(shape) * BYTES[dtype]


def _corrupt(file: Path, why: str) -> VersionRefused:
    return VersionRefused(f"{file.parent.name}/{file.name} is corrupt: {why}")
