"""Telling whether two folders share their embeddings."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from server.versions import embeddings

EMBEDDINGS, HEAD, OTHER = embeddings.EMBEDDINGS[0], embeddings.EMBEDDINGS[1], "model.norm.weight"


def write(folder: Path, *files: dict[str, torch.Tensor]) -> Path:
    folder.mkdir()
    for number, tensors in enumerate(files):
        save_file(tensors, folder / f"model-{number}.safetensors")
    return folder


def tensor(value: float, rows: int = 3) -> torch.Tensor:
    return torch.full((rows, 2), value)


def test_other_tensors_do_not_count(tmp_path: Path) -> None:
    """Embeddings are the same wherever in a folder they lie and whatever lies beside them."""
    one = write(tmp_path / "one", {EMBEDDINGS: tensor(1), OTHER: tensor(2)})
    other = write(tmp_path / "other", {OTHER: tensor(3)}, {EMBEDDINGS: tensor(1)})
    assert embeddings.same(one, other)


@pytest.mark.parametrize("changed", [{EMBEDDINGS: tensor(9)}, {HEAD: tensor(9)}])
def test_one_changed_number_counts(tmp_path: Path, changed: dict[str, torch.Tensor]) -> None:
    """In the embeddings, and in the head where both folders have one."""
    whole = {EMBEDDINGS: tensor(1), HEAD: tensor(1)}
    name = next(iter(changed))
    changed[name][:-1] = 1
    one = write(tmp_path / "one", whole)
    assert not embeddings.same(one, write(tmp_path / "other", {**whole, **changed}))
    assert embeddings.same(one, write(tmp_path / "copy", whole))


def test_a_tied_head_may_be_left_out(tmp_path: Path) -> None:
    """One that only one of the folders holds is the embeddings again."""
    one = write(tmp_path / "one", {EMBEDDINGS: tensor(1), HEAD: tensor(1)})
    assert embeddings.same(one, write(tmp_path / "other", {EMBEDDINGS: tensor(1)}))


def test_the_difference_may_come_late(tmp_path: Path) -> None:
    """Beyond the first piece that is compared."""
    large = tensor(1, rows=embeddings.CHUNK // 4)
    one = write(tmp_path / "one", {EMBEDDINGS: large})
    large[-1] = 2
    assert not embeddings.same(one, write(tmp_path / "other", {EMBEDDINGS: large}))


def test_another_size_is_another_tensor(tmp_path: Path) -> None:
    """Nothing is read beyond the shorter one."""
    one = write(tmp_path / "one", {EMBEDDINGS: tensor(1)})
    assert not embeddings.same(one, write(tmp_path / "other", {EMBEDDINGS: tensor(1, rows=4)}))


def test_a_folder_that_is_gone_is_another(tmp_path: Path) -> None:
    """What cannot be compared is not taken for the same."""
    one = write(tmp_path / "one", {EMBEDDINGS: tensor(1)})
    assert not embeddings.same(one, tmp_path / "gone")


@pytest.mark.parametrize("broken", [b"", b"no header", b"\2\0\0\0\0\0\0\0[]"])
def test_a_folder_that_is_broken_is_another(tmp_path: Path, broken: bytes) -> None:
    """Whatever has become of its files since they were checked."""
    one = write(tmp_path / "one", {EMBEDDINGS: tensor(1)})
    other = write(tmp_path / "other", {EMBEDDINGS: tensor(1)})
    (other / "model-1.safetensors").write_bytes(broken)
    assert not embeddings.same(one, other)
