"""Which folders are read at all."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from galen.errors import VersionRefused
from server.versions import folders
from tests.fakes.engine import write_version


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_version(tmp_path, "v1", -2.0)


def test_a_usual_folder_passes(folder: Path) -> None:
    """What a model's folder holds, also in a folder of its own."""
    for name in ("tokenizer.json", "chat_template.jinja", "merges.txt", "README.md"):
        (folder / name).write_text("{}", "utf-8")
    (folder / "original").mkdir()
    (folder / "original" / "tokenizer.model").write_bytes(b"")
    folders.refuse_unsafe(folder)


@pytest.mark.parametrize(
    "name",
    [
        *("pytorch_model.bin", "adapter_model.bin", "optimizer.pt", "x.PKL", "model.ckpt"),
        *("modeling_evil.py", "evil.so", "weights.npz", "tokenizer.pickle", "a.json.py", "noend"),
        *("model.SAFETENSORS", "model.safetensors.bin", "run.sh"),
    ],
)
@pytest.mark.parametrize("deep", [False, True])
def test_only_known_kinds_of_files_are_taken(folder: Path, name: str, deep: bool) -> None:
    """A pickle or a program is refused by its kind, wherever it lies."""
    place = folder / "deep" if deep else folder
    place.mkdir(exist_ok=True)
    (place / name).write_bytes(b"")
    with pytest.raises(VersionRefused, match="only safetensors"):
        folders.refuse_unsafe(folder)


@pytest.mark.parametrize("target", ["model.safetensors", "/etc/hostname", "..", "nowhere"])
def test_no_link_is_taken(folder: Path, target: str) -> None:
    """Wherever it leads: to a file, to a folder, out, or nowhere."""
    (folder / "linked.safetensors").symlink_to(target)
    with pytest.raises(VersionRefused, match=r"linked\.safetensors is a link"):
        folders.refuse_unsafe(folder)


def test_no_pipe_is_taken(folder: Path) -> None:
    """Reading one would never end."""
    os.mkfifo(folder / "a.safetensors")
    with pytest.raises(VersionRefused, match="no plain file"):
        folders.refuse_unsafe(folder)


@pytest.mark.parametrize("name", ["\n.exe", "\udcff.exe", "药.exe"])
def test_a_name_that_could_harm_a_message_is_not_repeated(folder: Path, name: str) -> None:
    """A file's name may hold anything; here it is plain."""
    os.close(os.open(os.fsencode(folder) + b"/" + os.fsencode(name), os.O_CREAT))
    with pytest.raises(VersionRefused, match="only safetensors") as refused:
        folders.refuse_unsafe(folder)
    assert name not in refused.value.message
