"""Folders are checked before the engine reads them."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from galen.errors import VersionRefused
from server import weights
from tests.fakes.engine import TENSOR, write_weights


def test_shapes_are_read_from_the_header(tmp_path: Path) -> None:
    """Each tensor's name and shape, without reading the tensors."""
    write_weights(tmp_path, -1.0)
    assert weights.shapes_of(tmp_path) == {TENSOR: (1,)}


@pytest.mark.parametrize("change", [-1, 1, -60])
def test_a_file_of_the_wrong_length_is_corrupt(tmp_path: Path, change: int) -> None:
    """A byte too few or too many, or a header that is cut off, is found before the load."""
    write_weights(tmp_path, -1.0)
    file = tmp_path / "model.safetensors"
    raw = file.read_bytes()
    file.write_bytes(raw + b"x" if change > 0 else raw[:change])
    with pytest.raises(VersionRefused, match="corrupt"):
        weights.shapes_of(tmp_path)


@pytest.mark.parametrize(("old", "new"), [(b'"F64"', b'"X99"'), (b"[1]", b"[2]")])
def test_a_tensor_that_is_not_what_it_says_is_corrupt(
    tmp_path: Path, old: bytes, new: bytes
) -> None:
    """An unknown type, or a shape that needs other bytes, would end the engine in mid-load."""
    write_weights(tmp_path, -1.0)
    file = tmp_path / "model.safetensors"
    file.write_bytes(file.read_bytes().replace(old, new))
    with pytest.raises(VersionRefused, match=f"tensor {TENSOR}"):
        weights.shapes_of(tmp_path)


@given(raw=st.binary(max_size=200))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_bytes_are_a_file_or_a_refusal(tmp_path: Path, raw: bytes) -> None:
    """No file, however broken, raises anything but a refusal."""
    (tmp_path / "model.safetensors").write_bytes(raw)
    with contextlib.suppress(VersionRefused):
        weights.shapes_of(tmp_path)


@pytest.mark.parametrize("name", ["pytorch_model.bin", "deep/optimizer.pt", "x.PKL"])
def test_pickles_are_refused_wherever_they_lie(tmp_path: Path, name: str) -> None:
    """A pickle runs code when it is read."""
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_bytes(b"")
    with pytest.raises(VersionRefused, match="only safetensors"):
        weights.refuse_pickles(tmp_path)


def test_a_folder_without_weights_is_refused(tmp_path: Path) -> None:
    """No safetensors file, no version."""
    with pytest.raises(VersionRefused, match=r"no \.safetensors"):
        weights.shapes_of(tmp_path)


@pytest.mark.parametrize(
    ("found", "reason"),
    [
        ({"a": (2,)}, "lacks tensor b"),
        ({"a": (2,), "b": (3,), "c": (1,)}, "unknown tensor c"),
        ({"a": (2,), "b": (4,)}, r"b has shape \[4\], the base model's \[3\]"),
    ],
)
def test_other_tensors_than_the_bases_are_refused(found: weights.Shapes, reason: str) -> None:
    """vLLM keeps the old value of a missing tensor, so a mixture would serve."""
    with pytest.raises(VersionRefused, match=reason):
        weights.compare("v", found, {"a": (2,), "b": (3,)})


def test_a_tied_head_may_be_written_or_left_out() -> None:
    """Whether a tied model's head is in the file depends on who saved it."""
    weights.compare("v", {"a": (2,), weights.TIED_HEAD: (2,)}, {"a": (2,)})
    weights.compare("v", {"a": (2,)}, {"a": (2,), weights.TIED_HEAD: (2,)})


@pytest.mark.parametrize(
    ("config", "adapter"),
    [
        ({"r": 8, "bias": "none"}, weights.Adapter(8, ())),
        ({"r": 8, "use_dora": True}, weights.Adapter(8, ("use_dora",))),
        (
            {"r": 4, "bias": "all", "modules_to_save": ["lm_head"]},
            weights.Adapter(4, ("bias", "modules_to_save")),
        ),
    ],
)
def test_what_vllm_cannot_serve_of_an_adapter_is_named(
    tmp_path: Path, config: dict[str, object], adapter: weights.Adapter
) -> None:
    """PEFT's configuration says whether vLLM would serve all of the adapter."""
    (tmp_path / weights.ADAPTER_CONFIG).write_text(json.dumps(config), "utf-8")
    assert weights.read_adapter(tmp_path) == adapter


@pytest.mark.parametrize("text", ["", "[]", '{"r": "many"}', "{}"])
def test_a_broken_adapter_configuration_is_refused(tmp_path: Path, text: str) -> None:
    """Neither a missing rank nor broken JSON gets to the engine."""
    (tmp_path / weights.ADAPTER_CONFIG).write_text(text, "utf-8")
    with pytest.raises(VersionRefused, match="not PEFT's"):
        weights.read_adapter(tmp_path)
