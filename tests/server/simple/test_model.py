"""The weights: read again in place, and adapters beside them, each computing what its owner does.

Shapes: T tokens, V the vocabulary.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import AutoModelForCausalLM

from server.simple.errors import BadRequest
from server.simple.model import PolicyModel

IDS = [1, 20, 33, 54, 76]


@pytest.fixture
def model(base: Path) -> PolicyModel:
    return PolicyModel(base, "float32")


def asked(model: PolicyModel, adapter: str | None = None) -> Tensor:
    return model.logits(IDS, model.new_cache(), adapter, every=True)


def computed(model: Any) -> Tensor:
    with torch.no_grad():
        logits_TV: Tensor = model(torch.tensor([IDS])).logits[0]
    return logits_TV


def other_weights(base: Path, folder: Path) -> Any:
    """A model with every weight changed, the tied embeddings too, saved in `folder`."""
    model = AutoModelForCausalLM.from_pretrained(base)
    torch.manual_seed(1)
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(torch.randn(weight.shape) * 0.05)
    model.save_pretrained(folder)
    return model


def adapter(base: Path, folder: Path, *, rank: int = 4) -> Any:
    torch.manual_seed(rank)
    config = LoraConfig(r=rank, target_modules="all-linear", init_lora_weights=False)
    model = get_peft_model(AutoModelForCausalLM.from_pretrained(base), config).eval()
    model.save_pretrained(folder)
    return model


def test_reading_in_parts_gives_the_logits_of_the_whole(model: PolicyModel) -> None:
    """The cache holds what was read before."""
    whole_TV, cache = asked(model), model.new_cache()
    model.logits(IDS[:3], cache, None, every=False)
    last_1V = model.logits(IDS[3:], cache, None, every=False)
    assert last_1V.shape == (1, model.vocabulary)
    torch.testing.assert_close(last_1V[0], whole_TV[-1])


def test_a_reload_serves_the_other_weights_and_its_tied_head_with_them(
    model: PolicyModel, base: Path, tmp_path: Path
) -> None:
    """The embeddings changed, so a head that kept its old copy would be far off."""
    other = other_weights(base, tmp_path)
    before = asked(model)
    model.reload(tmp_path)
    torch.testing.assert_close(asked(model), computed(other))
    model.reload(base)
    assert torch.equal(asked(model), before)


@pytest.mark.parametrize("fault", ["missing", "unknown", "shape", "cut"])
def test_weights_that_do_not_fit_change_nothing(
    model: PolicyModel, base: Path, tmp_path: Path, fault: str
) -> None:
    """Not even the tensors that do fit."""
    other_weights(base, tmp_path)
    file = tmp_path / "model.safetensors"
    weights = load_file(file)
    last = sorted(weights)[-1]
    match fault:
        case "missing":
            del weights[last]
        case "unknown":
            weights["stranger.weight"] = torch.zeros(1)
        case "shape":
            weights[last] = torch.zeros(3)
    save_file(weights, file, {"format": "pt"})
    if fault == "cut":
        file.write_bytes(file.read_bytes()[:-100])
    before = asked(model)
    with pytest.raises(BadRequest, match="reload_weights"):
        model.reload(tmp_path)
    assert torch.equal(asked(model), before)


def test_adapters_and_the_base_compute_what_their_owners_compute(
    model: PolicyModel, base: Path, tmp_path: Path
) -> None:
    """Side by side, in turns, and after one of them is gone."""
    one, two = adapter(base, tmp_path / "one"), adapter(base, tmp_path / "two", rank=2)
    before = asked(model)
    model.load_adapter("a", tmp_path / "one", 8)
    model.load_adapter("b", tmp_path / "two", 8)
    for _ in range(2):
        torch.testing.assert_close(asked(model, "a"), computed(one))
        torch.testing.assert_close(asked(model, "b"), computed(two))
        torch.testing.assert_close(asked(model), before)
    model.delete_adapter("a")
    torch.testing.assert_close(asked(model, "b"), computed(two))
    model.delete_adapter("b")
    torch.testing.assert_close(asked(model), before)
    model.load_adapter("c", tmp_path / "one", 8)
    torch.testing.assert_close(asked(model, "c"), computed(one))


@pytest.mark.parametrize("fault", ["rank", "tensors", "config", "corrupt", "nothing"])
def test_an_adapter_that_does_not_fit_is_refused_and_leaves_nothing(
    model: PolicyModel, base: Path, tmp_path: Path, fault: str
) -> None:
    """The base answers as before, and an adapter that fits can still be loaded."""
    good, bad = tmp_path / "good", tmp_path / "bad"
    owner = adapter(base, good)
    shutil.copytree(good, bad)
    file = bad / "adapter_model.safetensors"
    match fault:
        case "tensors":
            save_file({f"other.{name}": w for name, w in load_file(file).items()}, file)
        case "config":
            (bad / "adapter_config.json").write_text("{")
        case "corrupt":
            file.write_bytes(b"no tensors")
        case "nothing":
            shutil.rmtree(bad)
    before = asked(model)
    with pytest.raises(BadRequest):
        model.load_adapter("bad", bad, 2 if fault == "rank" else 8)
    torch.testing.assert_close(asked(model), before)
    model.load_adapter("good", good, 8)
    torch.testing.assert_close(asked(model, "good"), computed(owner))
    torch.testing.assert_close(asked(model), before)


def test_an_engine_of_adapters_takes_no_other_base(
    model: PolicyModel, base: Path, tmp_path: Path
) -> None:
    """The adapters would sit on weights that they were not trained on."""
    adapter(base, tmp_path / "one")
    model.load_adapter("a", tmp_path / "one", 8)
    with pytest.raises(BadRequest, match="adapters"):
        model.reload(base)
