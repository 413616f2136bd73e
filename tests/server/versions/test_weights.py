"""Folders are checked before the engine reads them."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from galen.errors import VersionRefused
from server.versions import weights
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
    """No type at all, or a shape that needs other bytes, would end the engine in mid-load."""
    write_weights(tmp_path, -1.0)
    file = tmp_path / "model.safetensors"
    file.write_bytes(file.read_bytes().replace(old, new))
    with pytest.raises(VersionRefused, match="corrupt"):
        weights.shapes_of(tmp_path)


def test_a_file_that_cannot_be_read_is_a_refusal(tmp_path: Path) -> None:
    """It may be taken away, or another put in its place, between two looks at its folder."""
    (tmp_path / "model.safetensors").mkdir()
    with pytest.raises(VersionRefused, match="cannot be read"):
        weights.shapes_of(tmp_path)


def test_a_type_that_vllm_does_not_know_is_refused(tmp_path: Path) -> None:
    """The format has more types than vLLM reads."""
    write_header(tmp_path, {"a": tensor([8], dtype="F8_E8M0")}, 8)
    with pytest.raises(VersionRefused, match="F8_E8M0, unknown to vLLM"):
        weights.shapes_of(tmp_path)


@given(raw=st.binary(max_size=200))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_bytes_are_a_file_or_a_refusal(tmp_path: Path, raw: bytes) -> None:
    """No file, however broken, raises anything but a refusal."""
    (tmp_path / "model.safetensors").write_bytes(raw)
    with contextlib.suppress(VersionRefused):
        weights.shapes_of(tmp_path)


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        ('{"auto_map": {"AutoModel": "evil.Model"}}', "names code"),
        ("[]", "no object"),
        ("{", "not JSON"),
        ("[" * 100_000, "not JSON"),
        ("\xff", "not JSON"),
    ],
)
@pytest.mark.parametrize("name", ["config.json", "tokenizer_config.json"])
def test_a_configuration_that_names_code_is_refused(
    tmp_path: Path, name: str, config: str, reason: str
) -> None:
    """Nothing that comes with weights is ever run; what cannot be read is not believed."""
    (tmp_path / name).write_text(config, "latin-1")
    with pytest.raises(VersionRefused, match=f"{name} .*{reason}"):
        weights.refuse_code(tmp_path)


def test_a_usual_configuration_passes(tmp_path: Path) -> None:
    """With or without one."""
    weights.refuse_code(tmp_path)
    (tmp_path / "config.json").write_text('{"model_type": "qwen3"}', "utf-8")
    weights.refuse_code(tmp_path)


def write_header(folder: Path, header: object, data: int) -> None:
    raw = json.dumps(header).encode()
    (folder / "a.safetensors").write_bytes(len(raw).to_bytes(8, "little") + raw + bytes(data))


def tensor(shape: object, start: object = 0, stop: object = 8, dtype: object = "U8") -> object:
    return {"dtype": dtype, "shape": shape, "data_offsets": [start, stop]}


@pytest.mark.parametrize(
    "header",
    [
        {"a": tensor([-2, -4])},
        {"a": tensor([8.0])},
        {"a": tensor(["8"])},
        {"a": tensor([True] * 3 + [8])},
        {"a": tensor([2**50, 0], 0, 0)},
        {"a": tensor([10**4000] * 5000)},
        {"a": tensor("8")},
        {"a": tensor([8], -8, 0)},
        {"a": tensor([8], 0.0, 8.0)},
        {"a": tensor([8], dtype=["U8"])},
        {"a": tensor([8]), "b": tensor([8])},
        {"a": tensor([2], 0, 2), "b": tensor([2], 6, 8)},
        {"a": tensor([4], 4, 8)},
        {"a": 5},
        {"a": {"shape": [8]}},
        [],
        {"\ud800" * 500: tensor([9])},
    ],
)
def test_a_header_that_lies_is_found(tmp_path: Path, header: object) -> None:
    """Shapes that are none, tensors that overlap or leave holes: the engine would fail at them."""
    write_header(tmp_path, header, 8)
    with pytest.raises(VersionRefused, match="corrupt"):
        weights.shapes_of(tmp_path)


def test_a_tensor_of_nothing_is_one(tmp_path: Path) -> None:
    """An empty tensor takes no bytes, wherever it stands."""
    write_header(tmp_path, {"a": tensor([0, 5], 8, 8), "b": tensor([8])}, 8)
    assert weights.shapes_of(tmp_path) == {"a": (0, 5), "b": (8,)}


def test_a_tensor_in_two_files_is_refused(tmp_path: Path) -> None:
    """Which of the two would be served, nobody knows."""
    write_weights(tmp_path, -1.0)
    (tmp_path / "b.safetensors").write_bytes((tmp_path / "model.safetensors").read_bytes())
    with pytest.raises(VersionRefused, match="twice"):
        weights.shapes_of(tmp_path)


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
        ({"r": 4, "rank_pattern": {"(a+)+$": 8}}, weights.Adapter(4, ("rank_pattern",))),
        ({"r": 4, "init_lora_weights": "PiSSA"}, weights.Adapter(4, ("init_lora_weights",))),
        ({"r": 4, "init_lora_weights": "gaussian", "rank_pattern": {}}, weights.Adapter(4, ())),
        ({"r": 4, "init_lora_weights": True, "lora_alpha": 8}, weights.Adapter(4, ())),
    ],
)
def test_what_vllm_cannot_serve_of_an_adapter_is_named(
    tmp_path: Path, config: dict[str, object], adapter: weights.Adapter
) -> None:
    """PEFT's configuration says whether vLLM would serve all of the adapter."""
    (tmp_path / weights.ADAPTER_CONFIG).write_text(json.dumps(config), "utf-8")
    assert weights.read_adapter(tmp_path) == adapter


@pytest.mark.parametrize(
    "text",
    [
        *("", "[]", '{"r": "many"}', "{}", '{"r": 0}', '{"r": -8}', '{"r": 8.5}', '"r"'),
        *('{"r": 8, "lora_alpha": "x"}', '{"r": 8, "lora_alpha": NaN}', "[" * 100_000),
    ],
)
def test_a_broken_adapter_configuration_is_refused(tmp_path: Path, text: str) -> None:
    """Neither a missing rank nor broken JSON gets to the engine."""
    (tmp_path / weights.ADAPTER_CONFIG).write_text(text, "utf-8")
    with pytest.raises(VersionRefused, match="not PEFT's"):
        weights.read_adapter(tmp_path)
