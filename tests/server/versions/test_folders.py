"""Which folders are read at all."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from galen.errors import VersionRefused
from server.schemas import MANIFEST
from server.versions import folders
from tests.fakes.engine import write_version

ROOM = 10_000


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_version(tmp_path, "v1", -2.0)


def test_a_usual_folder_passes_and_stays_the_same(folder: Path) -> None:
    """What a model's folder holds, also in a folder of its own."""
    for name in ("tokenizer.json", "chat_template.jinja", "merges.txt", "README.md"):
        (folder / name).write_text("{}", "utf-8")
    (folder / "original").mkdir()
    (folder / "original" / "tokenizer.model").write_bytes(b"")
    folders.refuse_changed(folder, folders.survey(folder, ROOM))


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
        folders.survey(folder, ROOM)


@pytest.mark.parametrize("target", ["model.safetensors", "/etc/hostname", "..", "nowhere"])
def test_no_link_is_taken(folder: Path, target: str) -> None:
    """Wherever it leads: to a file, to a folder, out, or nowhere."""
    (folder / "linked.safetensors").symlink_to(target)
    with pytest.raises(VersionRefused, match=r"linked\.safetensors is a link"):
        folders.survey(folder, ROOM)


def test_no_pipe_is_taken(folder: Path) -> None:
    """Reading one would never end."""
    os.mkfifo(folder / "a.safetensors")
    with pytest.raises(VersionRefused, match="no plain file"):
        folders.survey(folder, ROOM)
    with pytest.raises(VersionRefused, match="no plain file"):
        folders.read_text(folder / "a.safetensors")


@pytest.mark.parametrize(
    "name", ["a b.json", "\n.json", "\udcff.json", "药.json", ".json", "-a.json"]
)
def test_a_name_that_could_harm_a_message_is_not_repeated(folder: Path, name: str) -> None:
    """A file's name may hold anything; here it is plain."""
    os.close(os.open(os.fsencode(folder) + b"/" + os.fsencode(name), os.O_CREAT))
    with pytest.raises(VersionRefused, match="unusual name") as refused:
        folders.survey(folder, ROOM)
    assert name not in refused.value.message


def test_a_folder_of_many_files_is_refused(folder: Path) -> None:
    """Before they are read; the count is bounded."""
    for number in range(folders.MOST_ENTRIES):
        (folder / f"a{number}.json").touch()
    with pytest.raises(VersionRefused, match="more than 1,000"):
        folders.survey(folder, ROOM)


def test_a_deep_folder_is_refused(folder: Path) -> None:
    """Levels are bounded too."""
    (folder / "a" / "b" / "c").mkdir(parents=True)
    folders.survey(folder, ROOM)
    (folder / "a" / "b" / "c" / "d").mkdir()
    with pytest.raises(VersionRefused, match="lay it flat"):
        folders.survey(folder, ROOM)


def test_too_many_bytes_are_refused(folder: Path) -> None:
    """Of all files together, and of a text by itself."""
    size = sum(path.stat().st_size for path in folder.iterdir())
    folders.survey(folder, size)
    with pytest.raises(VersionRefused, match=f"holds {size:,} bytes"):
        folders.survey(folder, size - 1)
    with (folder / "tokenizer.json").open("wb") as file:
        file.truncate(folders.LARGEST_TEXT + 1)
    with pytest.raises(VersionRefused, match=r"tokenizer\.json is larger"):
        folders.survey(folder, 2**40)
    with pytest.raises(VersionRefused, match=r"tokenizer\.json is larger"):
        folders.read_text(folder / "tokenizer.json")


def test_a_folder_that_goes_away_is_refused(folder: Path) -> None:
    """As is one that never was."""
    with pytest.raises(VersionRefused, match="cannot be read"):
        folders.survey(folder / "none", ROOM)


@pytest.mark.parametrize("change", ["grow", "touch", "add", "remove", "replace"])
def test_every_change_leaves_another_stamp(folder: Path, change: str) -> None:
    """Of content, of a name, and of a file for another with the same content."""
    stamp = folders.survey(folder, ROOM)
    file = folder / "model.safetensors"
    if change == "grow":
        file.write_bytes(file.read_bytes() + b"x")
    elif change == "touch":
        os.utime(file)
    elif change == "add":
        (folder / "more.json").touch()
    elif change == "remove":
        (folder / MANIFEST).unlink()
    else:
        (folder / "aside.json").write_bytes(file.read_bytes())
        (folder / "aside.json").replace(file)
    with pytest.raises(VersionRefused, match="was changed"):
        folders.refuse_changed(folder, stamp)
