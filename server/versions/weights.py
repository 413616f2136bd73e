"""Checks of a version's weights before the engine sees them.

Each file's header is compared with the file's size, so a cut-off file is found here and not
half-way through a load. Merged weights must hold exactly the base's tensors, since vLLM keeps the
old value of any that is missing.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path

from safetensors import SafetensorError, safe_open

from galen.errors import VersionRefused
from server.versions import folders

TYPES = frozenset(
    {"F64", "F32", "F16", "BF16", "F8_E4M3", "F8_E5M2", "I64", "I32", "I16", "I8", "U8", "BOOL"}
)
"""A type that vLLM cannot read would end the engine in mid-load."""
ADAPTER_CONFIG = "adapter_config.json"
CONFIGS = ("config.json", "tokenizer_config.json", "generation_config.json", ADAPTER_CONFIG)
_UNSUPPORTED = (
    *("use_dora", "modules_to_save", "rank_pattern", "alpha_pattern", "lora_bias", "use_qalora"),
    *("use_bdlora", "alora_invocation_tokens", "layer_replication", "target_parameters"),
)
"""Fields of PEFT's configuration that vLLM refuses, ignores, or reads as a regular expression."""
_PLAIN_STARTS = ("gaussian", "eva", "orthogonal", "mica", "lora_ga")
"""Initialisations that leave the base model's weights as they are."""
TIED_HEAD = "lm_head.weight"
"""A model with tied embeddings may or may not write its head."""

Shapes = dict[str, tuple[int, ...]]


@dataclass(frozen=True, slots=True)
class Adapter:
    """The part of PEFT's configuration that decides whether vLLM can serve it."""

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
    files = sorted(folder.glob(f"*{folders.WEIGHTS}"))
    if not files:
        raise VersionRefused(f"{folder.name} holds no .safetensors file")
    shapes: Shapes = {}
    for file in files:
        found = _shapes_in(file)
        if twice := found.keys() & shapes.keys():
            raise VersionRefused(f"{folder.name} holds the tensor {min(twice)!r} twice")
        shapes |= found
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
    """Refuses a folder whose adapter_config.json is missing or not PEFT's."""
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


def _shapes_in(file: Path) -> Shapes:
    """Read by the format's own library, which refuses a header that does not fit its file."""
    shown = f"{file.parent.name}/{file.name}"
    try:
        with safe_open(file, framework="numpy") as opened:
            tensors = {name: opened.get_slice(name) for name in opened.keys()}  # noqa: SIM118
            shapes = {name: tuple(tensor.get_shape()) for name, tensor in tensors.items()}
            types = {tensor.get_dtype() for tensor in tensors.values()}
    except SafetensorError as error:
        reason = " ".join(str(error).encode("ascii", "replace").decode().split())[:200]
        raise VersionRefused(f"{shown} is corrupt: {reason}") from None
    except OSError as error:
        raise VersionRefused(f"{shown} cannot be read: {error.strerror or error}") from None
    if unknown := types - TYPES:
        raise VersionRefused(f"{shown} holds tensors of the type {min(unknown)}, unknown to vLLM")
    return shapes
