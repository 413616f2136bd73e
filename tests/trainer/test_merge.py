"""Laws of merging an adapter."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

import trainer.merge
from galen.errors import RecipeError
from tests.fakes.rollouts import write_adapter
from trainer.fit import ADAPTER_CONFIG, ADAPTER_WEIGHTS
from trainer.merge import merge


@pytest.fixture
def adapter(toy: Path, tmp_path: Path) -> Path:
    return write_adapter(toy, tmp_path / "adapter")


def rewrite(adapter: Path, **tensors: np.ndarray) -> None:
    """Replace the adapter's tensors."""
    save_file(
        {f"base_model.model.{name}.weight": each for name, each in tensors.items()},
        adapter / ADAPTER_WEIGHTS,
    )


def test_an_adapter_whose_keys_do_not_fit_is_refused(
    toy: Path, adapter: Path, tmp_path: Path
) -> None:
    """PEFT would leave them out with a warning, and the result would be the base."""
    tensors = load_file(adapter / ADAPTER_WEIGHTS)
    renamed = {name.replace(".layers.", ".blocks."): each for name, each in tensors.items()}
    save_file(renamed, adapter / ADAPTER_WEIGHTS)
    with pytest.raises(RecipeError, match=r"model\.blocks\.0.*that no module of the base has"):
        merge([adapter], tmp_path / "out", toy)
    assert not (tmp_path / "out").exists()


def test_an_adapter_on_the_head_of_a_tied_base_is_refused(
    toy: Path, adapter: Path, tmp_path: Path
) -> None:
    """Merged, it would change the embeddings as well: logits were off by up to 17."""
    rewrite(adapter, **{"lm_head.lora_A": np.zeros((4, 64), np.float32)})
    with pytest.raises(RecipeError, match="it changes lm_head, which the base ties"):
        merge([adapter], tmp_path / "out", toy)


@pytest.mark.parametrize("named", [None, "", 7])
def test_an_adapter_that_names_no_base_needs_one(
    adapter: Path, tmp_path: Path, named: object
) -> None:
    """The message says how to give it."""
    config = json.loads((adapter / ADAPTER_CONFIG).read_text("utf-8"))
    (adapter / ADAPTER_CONFIG).write_text(json.dumps({**config, "base_model_name_or_path": named}))
    with pytest.raises(RecipeError, match="names no base model; give its folder with --base"):
        merge([adapter], tmp_path / "out")


def test_the_base_that_an_adapter_names_is_used(adapter: Path, tmp_path: Path) -> None:
    """A folder by path alone afterwards."""
    assert (merge([adapter], tmp_path / "out") / "model.safetensors").is_file()


def test_a_chain_is_merged_in_its_order(toy: Path, tmp_path: Path) -> None:
    """As one merge after the other."""
    first = write_adapter(toy, tmp_path / "first", seed=1)
    middle = merge([first], tmp_path / "middle", toy)
    second = write_adapter(middle, tmp_path / "second", seed=2)
    expected = merge([second], tmp_path / "expected", middle)
    found = merge([first, second], tmp_path / "found", toy)
    weights = [load_file(folder / "model.safetensors") for folder in (expected, found)]
    assert weights[0].keys() == weights[1].keys()
    for name, tensor in weights[0].items():
        np.testing.assert_allclose(weights[1][name], tensor, atol=1e-6)


def test_an_adapter_of_other_weights_is_refused(toy: Path, tmp_path: Path) -> None:
    """Its run wrote down the checksum of what it began with, though all shapes fit."""
    adapter = write_adapter(toy, tmp_path / "adapter")
    (tmp_path / "manifest.json").write_text(json.dumps({"model": "other", "start": "models/there"}))
    with pytest.raises(RecipeError, match=r"began with other weights.*those of models/there"):
        merge([adapter], tmp_path / "out", toy)


def test_a_merge_that_says_something_else_is_no_model(
    toy: Path, adapter: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was written is loaded again and compared; here no difference is small enough."""
    monkeypatch.setattr(trainer.merge, "MOST_KL", -1.0)
    with pytest.raises(RecipeError, match="something else than base and adapter do"):
        merge([adapter], tmp_path / "out", toy)
    assert not (tmp_path / "out").exists()
