"""Whether a folder of weights fits a base model, by file headers, before anything is loaded."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from galen.errors import RecipeError

ADAPTER_CONFIG = "adapter_config.json"
ADAPTER_WEIGHTS = "adapter_model.safetensors"
MODEL_CONFIG = "config.json"
TOKENIZER_FILES = ("tokenizer.json", "tokenizer.model", "vocab.json")
HEAD, EMBEDDINGS = "lm_head", "model.embed_tokens"
SAMPLE = "头痛两天了，怎么办？ Two days of headache.\n<think>\n"

_ADAPTER_TENSOR = re.compile(
    r"base_model\.model\.(?P<module>.+?)\.lora_(?P<part>A|B|embedding_A|embedding_B|magnitude_vector)"
    r"(\.(weight|bias))?"
)
_SAME_IN_CONFIG = (
    *("model_type", "num_hidden_layers", "num_attention_heads", "num_key_value_heads", "head_dim"),
    *("rope_theta", "rope_parameters", "rope_scaling", "rms_norm_eps", "hidden_act"),
    *("tie_word_embeddings", "sliding_window"),
)
"""Fields that change what the same tensors compute. The engine always uses the base's."""

Shapes = dict[str, tuple[int, ...]]


def shapes_of(folder: Path) -> Shapes:
    """Name and shape of every tensor in a folder's safetensors files.

    `RecipeError` if there is no such file, or one is damaged.
    """
    files = sorted(folder.glob("*.safetensors"))
    if not files:
        raise RecipeError(
            f"{folder}: holds no .safetensors file; load the model with transformers or PEFT and "
            "save it with `save_pretrained`, which writes one"
        )
    shapes: Shapes = {}
    for file in files:
        try:
            with safe_open(file, framework="numpy") as tensors:
                names = tensors.keys()
                shapes |= {name: tuple(tensors.get_slice(name).get_shape()) for name in names}
        except (SafetensorError, OSError) as error:
            raise RecipeError(f"{file}: damaged or cut off ({error}); copy it again") from error
    return shapes


def merged_problems(folder: Path, base: Path) -> list[str]:
    """All reasons why a folder of whole weights does not fit `base`; empty if it fits."""
    return [
        *_config_problems(folder, base),
        *_shape_problems(shapes_of(folder), shapes_of(base)),
        *_tokenizer_problems(folder, base),
    ]


def adapter_problems(folder: Path, base: Path) -> list[str]:
    """All reasons why a LoRA adapter does not fit `base`; empty if it fits."""
    config = read_json(folder / ADAPTER_CONFIG)
    kind = config.get("peft_type", "LORA")
    if kind != "LORA":
        return [f"{ADAPTER_CONFIG}: its type is {kind}; only LoRA can be served"]
    found, known = shapes_of(folder), shapes_of(base)
    lost = [name for name in found if not _reaches(name, known)]
    problems = [f"{_listed(lost, 'tensor')} that no module of the base has"] if lost else []
    problems += [
        problem
        for name, shape in found.items()
        if name not in lost and (problem := _misfit(name, shape, known))
    ][:3]
    tied = bool(read_json(base / MODEL_CONFIG).get("tie_word_embeddings"))
    ends = [name for name in found if _module_of(name) in (HEAD, EMBEDDINGS)]
    if tied and ends:
        problems.append(
            f"it changes {_module_of(ends[0])}, which the base ties to its other end; train with "
            "`target_modules` and `modules_to_save` that leave out the embeddings and the head"
        )
    return [*problems, *_tokenizer_problems(folder, base)]


def read_json(file: Path) -> dict[str, Any]:
    """A file that holds a JSON object; `RecipeError` if it does not."""
    try:
        loaded = json.loads(file.read_text("utf-8"))
    except FileNotFoundError:
        raise RecipeError(f"{file}: no such file") from None
    except (OSError, ValueError, RecursionError) as error:
        raise RecipeError(f"{file}: not a JSON file: {error}") from error
    if not isinstance(loaded, dict):
        raise RecipeError(f"{file}: not a JSON object")
    return loaded


def _config_problems(folder: Path, base: Path) -> Iterator[str]:
    found, wanted = read_json(folder / MODEL_CONFIG), read_json(base / MODEL_CONFIG)
    for field in _SAME_IN_CONFIG:
        if field in found and field in wanted and found[field] != wanted[field]:
            yield f"config.json: `{field}` is {found[field]}, the base's {wanted[field]}"


def _shape_problems(found: Shapes, known: Shapes) -> Iterator[str]:
    head = {f"{HEAD}.weight"}  # tied embeddings may be written with or without their head
    if missing := sorted(known.keys() - found.keys() - head):
        yield f"it lacks {_listed(missing, 'tensor')}"
    if unknown := sorted(found.keys() - known.keys() - head):
        yield f"it has {_listed(unknown, 'tensor')} that the base lacks"
    other = sorted(name for name in found.keys() & known.keys() if found[name] != known[name])
    for name in other[:3]:
        yield f"{name} has shape {list(found[name])}, the base's {list(known[name])}"
    if len(other) > 3:
        yield f"and {len(other) - 3} more have other shapes"


def _tokenizer_problems(folder: Path, base: Path) -> Iterator[str]:
    """The engine keeps the base's tokenizer, so a version's own must be the same."""
    if not any((folder / name).is_file() for name in TOKENIZER_FILES):
        return
    from transformers import AutoTokenizer

    try:
        found = AutoTokenizer.from_pretrained(folder)
        wanted = AutoTokenizer.from_pretrained(base)
    except (OSError, ValueError, KeyError, TypeError) as error:
        yield f"its tokenizer cannot be read: {error}"
        return
    ids, known = found.get_vocab(), wanted.get_vocab()
    if ids != known:
        others = sorted(
            token for token in ids.keys() | known.keys() if ids.get(token) != known.get(token)
        )
        yield (
            f"its tokenizer has {len(ids):,} tokens, the base's {len(known):,}; "
            f"{len(others):,} differ, such as {others[0]!r}"
        )
    elif found.encode(SAMPLE) != wanted.encode(SAMPLE):
        yield "its tokenizer cuts texts into other tokens than the base's"


def _module_of(tensor: str) -> str:
    """The base's module that an adapter's tensor belongs to."""
    if match := _ADAPTER_TENSOR.fullmatch(tensor):
        return match["module"]
    return tensor.removeprefix("base_model.model.").rpartition(".")[0]


def _reaches(tensor: str, known: Shapes) -> bool:
    module = _module_of(tensor)
    is_tied_head = module == HEAD and f"{EMBEDDINGS}.weight" in known
    return tensor.startswith("base_model.model.") and (f"{module}.weight" in known or is_tied_head)


def _misfit(tensor: str, shape: tuple[int, ...], known: Shapes) -> str | None:
    """How a tensor's shape contradicts the base's weight, if it does."""
    weight = known.get(f"{_module_of(tensor)}.weight")
    match = _ADAPTER_TENSOR.fullmatch(tensor)
    if weight is None or len(weight) != 2:
        return None
    part = match["part"] if match else ""
    if part == "A" and shape[1:] != weight[1:]:
        return f"{tensor} takes {shape[-1]} inputs, the base's module {weight[1]}"
    if part == "B" and shape[:1] != weight[:1]:
        return f"{tensor} gives {shape[0]} outputs, the base's module {weight[0]}"
    if not match and tensor.endswith(".weight") and shape != weight:
        return f"{tensor} has shape {list(shape)}, the base's {list(weight)}"
    return None


def _listed(names: Sequence[str], what: str) -> str:
    shown = ", ".join(names[:3]) + (", …" if len(names) > 3 else "")
    return f"{len(names)} {what}{'s' if len(names) > 1 else ''} ({shown})"
