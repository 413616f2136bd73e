"""Models in one folder, `models/`, from a hub or from a folder, checked before they are used."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from galen.errors import Conflict, InvalidInput
from trainer import hub

FILES = ("*.json", "*.jinja", "*.safetensors", "tokenizer.model", "*.txt", "LICENSE*", "README.md")
"""What is downloaded of a repository: no weights in pickles, no second copies in other formats."""


def get(name: str, models: Path, source: hub.Hub, endpoint: str | None = None) -> Path:
    """The folder of a model: downloaded, or a link to a folder of yours.

    A download goes into a draft first, so that a folder under `models` is always whole. Raises
    `InvalidInput` for a model that lacks something. `endpoint` is as in `hub.download`.
    """
    given = Path(name)
    folder = models / given.name
    if given.is_dir():
        check(given)
        return _link(given, folder)
    if name.count("/") != 1:
        raise InvalidInput(
            f"{name}: neither a folder nor a hub's name, such as Qwen/Qwen2.5-0.5B-Instruct"
        )
    if not folder.is_dir():
        draft = models / f".{given.name}.partial"
        hub.download("model", name, draft, FILES, source, endpoint)
        check(draft)
        shutil.rmtree(draft / ".cache", ignore_errors=True)
        draft.rename(folder)
    return folder


def check(folder: Path) -> None:
    """Raises `InvalidInput` for a folder whose weights are not all there."""
    if not (folder / "config.json").is_file():
        raise InvalidInput(f"{folder}: no model there (config.json is missing)")
    index = folder / "model.safetensors.index.json"
    wanted = set(_json(index).get("weight_map", {}).values()) if index.is_file() else set()
    missing = sorted(name for name in wanted if not (folder / name).is_file())
    if missing or not any(folder.glob("*.safetensors")):
        lacks = ", ".join(missing) or "any .safetensors file"
        raise InvalidInput(f"{folder}: lacks {lacks}; download it again, it goes on where it was")
    for file in folder.glob("*.safetensors"):
        _check_size(file)


def _check_size(file: Path) -> None:
    """The head of a file of tensors says how long it must be."""
    with file.open("rb") as opened:
        size = int.from_bytes(opened.read(8), "little")
        try:
            head = json.loads(opened.read(min(size, 1 << 27)))
        except ValueError:
            raise InvalidInput(f"{file}: is no file of tensors; download it again") from None
    ends = [each["data_offsets"][1] for name, each in head.items() if name != "__metadata__"]
    expected = 8 + size + max(ends, default=0)
    if file.stat().st_size != expected:
        raise InvalidInput(
            f"{file}: {file.stat().st_size:,} bytes of {expected:,}; download it again, it goes on "
            "where it was"
        )


def _link(given: Path, folder: Path) -> Path:
    if folder.resolve() == given.resolve():
        return folder
    if folder.exists():
        raise Conflict(f"{folder} is there already; delete it, or use it under that name")
    folder.parent.mkdir(parents=True, exist_ok=True)
    folder.symlink_to(given.resolve(), target_is_directory=True)
    return folder


def _json(file: Path) -> dict[str, Any]:
    return dict(json.loads(file.read_text("utf-8")))
