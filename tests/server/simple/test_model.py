"""The weights: loaded anew as a whole or not at all, and the same in a padded batch as alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import AutoModelForCausalLM, DynamicCache, MambaConfig, MambaForCausalLM

from server.simple.model import Model
from server.simple.protocol import BadRequest
from tests.server.simple.conftest import IDS


def asked(model: Model) -> Tensor:
    return model.logits([IDS], DynamicCache(), (), keep=0)[0]


def other_weights(base: Path, folder: Path) -> Any:
    """A model with every weight changed, the tied embeddings too, saved in `folder`."""
    model = AutoModelForCausalLM.from_pretrained(base)
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(torch.randn(weight.shape) * 0.05)
    model.save_pretrained(folder)
    return model


def test_a_reload_serves_the_other_weights_and_its_tied_head_with_them(
    model: Model, base: Path, tmp_path: Path
) -> None:
    """The embeddings changed, so a head that kept its old copy would be far off."""
    other, before = other_weights(base, tmp_path), asked(model)
    (tmp_path / "config.json").unlink()
    model.reload(tmp_path)
    with torch.no_grad():
        assert torch.equal(asked(model), other(torch.tensor([IDS])).logits[0])
    model.reload(base)
    assert torch.equal(asked(model), before)


@pytest.mark.parametrize("fault", ["missing", "unknown", "shape", "cut", "none"])
def test_weights_that_do_not_fit_change_nothing(
    model: Model, base: Path, tmp_path: Path, fault: str
) -> None:
    """Not even those tensors that do fit."""
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
    if fault == "none":
        file.unlink()
    before = asked(model)
    with pytest.raises(BadRequest, match="reload_weights"):
        model.reload(tmp_path)
    assert torch.equal(asked(model), before)


def test_pickled_weights_are_never_read(base: Path, tmp_path: Path) -> None:
    """They could run any code."""
    model = AutoModelForCausalLM.from_pretrained(base)
    model.config.save_pretrained(tmp_path)
    torch.save(model.state_dict(), tmp_path / "pytorch_model.bin")
    with pytest.raises(OSError, match="safetensors"):
        Model(tmp_path, "float32", 16)


def test_a_model_with_a_running_state_is_refused_at_the_start(tmp_path: Path) -> None:
    """Its sequences could not share a padded cache; the reason names what to use."""
    config = MambaConfig(vocab_size=16, hidden_size=8, num_hidden_layers=1, state_size=2)
    MambaForCausalLM(config).save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="mamba; use vLLM"):
        Model(tmp_path, "float32", 16)


def test_no_more_context_is_promised_than_the_model_has(base: Path) -> None:
    """Beyond it the answers would be noise."""
    with pytest.raises(ValueError, match="max_position_embeddings"):
        Model(base, "float32", 10**6)
