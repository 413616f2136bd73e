"""Laws of what fits a base model."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from galen.errors import RecipeError
from tests.fakes.rollouts import write_adapter
from trainer import fit

Tensors = dict[str, np.ndarray]


@pytest.fixture
def copy(toy: Path, tmp_path: Path) -> Path:
    """The toy's folder, to be changed."""
    return Path(shutil.copytree(toy, tmp_path / "copy"))


@pytest.fixture
def adapter(toy: Path, tmp_path: Path) -> Path:
    return write_adapter(toy, tmp_path / "adapter")


def change(file: Path, how: Callable[[Tensors], None]) -> None:
    tensors = load_file(file)
    how(tensors)
    save_file(tensors, file)


def set_in(file: Path, **fields: object) -> None:
    file.write_text(json.dumps({**json.loads(file.read_text("utf-8")), **fields}), "utf-8")


def test_a_model_fits_its_own_base(toy: Path, copy: Path) -> None:
    """With a tied head written out, too."""
    change(copy / "model.safetensors", lambda t: t.update({"lm_head.weight": np.zeros((2, 2))}))
    assert fit.merged_problems(copy, toy) == []


def test_everything_that_does_not_fit_is_named_at_once(toy: Path, copy: Path) -> None:
    """Settings, a lost tensor, an unknown one, another shape, another tokenizer."""

    def spoil(tensors: Tensors) -> None:
        tensors["model.extra.weight"] = tensors.pop("model.norm.weight")
        tensors["model.embed_tokens.weight"] = np.zeros((7, 3), np.float32)

    change(copy / "model.safetensors", spoil)
    set_in(copy / "config.json", num_attention_heads=99)
    tokenizer = json.loads((copy / "tokenizer.json").read_text("utf-8"))
    tokenizer["model"]["vocab"].pop("。")
    (copy / "tokenizer.json").write_text(json.dumps(tokenizer), "utf-8")
    problems = "\n".join(fit.merged_problems(copy, toy))
    for word in (
        "`num_attention_heads` is 99",
        "lacks 1 tensor (model.norm.weight)",
        "has 1 tensor (model.extra.weight)",
        "model.embed_tokens.weight has shape [7, 3]",
        "its tokenizer has 289 tokens, the base's 290",
    ):
        assert word in problems


def test_a_tokenizer_that_cuts_otherwise_is_found(toy: Path, copy: Path) -> None:
    """The same tokens under the same numbers are not enough."""
    tokenizer = json.loads((copy / "tokenizer.json").read_text("utf-8"))
    tokenizer["model"]["merges"] = []
    tokenizer["pre_tokenizer"] = None
    tokenizer["added_tokens"] = [
        {**token, "lstrip": True, "rstrip": True} for token in tokenizer["added_tokens"]
    ]
    (copy / "tokenizer.json").write_text(json.dumps(tokenizer), "utf-8")
    assert fit.merged_problems(copy, toy) == [
        "its tokenizer cuts texts into other tokens than the base's"
    ]


def test_weights_without_a_tokenizer_fit(toy: Path, copy: Path) -> None:
    """The engine has the base's."""
    for file in copy.glob("tokenizer*"):
        file.unlink()
    assert fit.merged_problems(copy, toy) == []


def test_pickles_alone_are_no_weights(copy: Path) -> None:
    """They are never read; the message says how safetensors are made of them."""
    (copy / "model.safetensors").rename(copy / "pytorch_model.bin")
    with pytest.raises(RecipeError, match=r"no \.safetensors file; load .*save_pretrained"):
        fit.shapes_of(copy)


def test_a_file_that_was_cut_off_is_named(copy: Path) -> None:
    """A copy that was broken off is not read half."""
    file = copy / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-9])
    with pytest.raises(RecipeError, match=r"model\.safetensors: damaged or cut off"):
        fit.shapes_of(copy)


def test_an_adapter_fits_the_base_that_it_was_made_for(toy: Path, adapter: Path) -> None:
    """Whatever its rank."""
    assert fit.adapter_problems(adapter, toy) == []


def test_an_adapter_whose_tensors_reach_no_module_is_refused(toy: Path, adapter: Path) -> None:
    """PEFT would load it with a warning, and the result would be the base."""

    def rename(tensors: Tensors) -> None:
        for name in list(tensors):
            tensors[name.replace("model.layers", "transformer.h")] = tensors.pop(name)

    change(adapter / fit.ADAPTER_WEIGHTS, rename)
    (problem,) = fit.adapter_problems(adapter, toy)
    assert problem.startswith("28 tensors (base_model.model.transformer.h.0.")
    assert problem.endswith("that no module of the base has")


def test_an_adapter_of_a_larger_base_is_refused_by_its_shapes(toy: Path, adapter: Path) -> None:
    """Inputs and outputs are those of the base's module."""

    def widen(tensors: Tensors) -> None:
        name = "base_model.model.model.layers.0.mlp.up_proj.lora_{}.weight"
        tensors[name.format("A")] = np.zeros((4, 128), np.float32)
        tensors[name.format("B")] = np.zeros((999, 4), np.float32)

    change(adapter / fit.ADAPTER_WEIGHTS, widen)
    problems = "\n".join(fit.adapter_problems(adapter, toy))
    assert "takes 128 inputs, the base's module 64" in problems
    assert "gives 999 outputs, the base's module 192" in problems


@pytest.mark.parametrize("tensor", ["lm_head.lora_A.weight", "model.embed_tokens.lora_embedding_A"])
def test_an_adapter_on_one_end_of_tied_embeddings_is_refused(
    toy: Path, adapter: Path, tensor: str
) -> None:
    """Merged, it would change the other end with it, and answer otherwise than in training."""
    zeros = np.zeros((4, 64), np.float32)
    change(adapter / fit.ADAPTER_WEIGHTS, lambda t: t.update({f"base_model.model.{tensor}": zeros}))
    (problem,) = fit.adapter_problems(adapter, toy)
    assert "which the base ties to its other end" in problem


def test_another_kind_of_adapter_is_refused_by_its_name(toy: Path, adapter: Path) -> None:
    """Prompt tuning and the like have no weights to merge."""
    set_in(adapter / fit.ADAPTER_CONFIG, peft_type="PROMPT_TUNING")
    assert "PROMPT_TUNING" in fit.adapter_problems(adapter, toy)[0]
