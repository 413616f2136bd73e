"""Laws of the memory estimate."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from transformers import AutoModelForCausalLM

from trainer import fit, memory
from trainer.recipes import CompareRecipe, PpoRecipe, SftRecipe

QWEN3_1_7B = memory.shape_of(
    {
        **{"hidden_size": 2048, "intermediate_size": 6144, "num_hidden_layers": 28},
        **{"num_attention_heads": 16, "num_key_value_heads": 8, "head_dim": 128},
        **{"vocab_size": 151936, "tie_word_embeddings": True},
    }
)


def ppo(**changes: Any) -> PpoRecipe:
    fields = {"critic": {"layers": 2}, **changes}
    return PpoRecipe(stage="ppo", run="p", model=Path("m"), prompts=(Path("p"),), **fields)


def sft(**changes: Any) -> SftRecipe:
    return SftRecipe(stage="sft", run="s", model=Path("m"), train=(Path("t"),), **changes)


def gb(recipe: Any, *, on_gpu: bool = True) -> float:
    return memory.training_bytes(recipe, QWEN3_1_7B, on_gpu=on_gpu) / 1e9


def test_parameters_are_those_of_the_model(toy: Path) -> None:
    """To one in a hundred; norms are not counted."""
    counted = memory.shape_of(fit.read_json(toy / "config.json")).parameters
    model = AutoModelForCausalLM.from_pretrained(toy)
    assert counted == pytest.approx(model.num_parameters(), rel=0.01)


def test_the_real_model_has_its_well_known_size() -> None:
    """1.72 billion."""
    assert QWEN3_1_7B.parameters == pytest.approx(1.72e9, rel=0.01)


def test_full_training_takes_sixteen_bytes_a_parameter_at_least() -> None:
    """Weights, gradients and two moments in fp32, whatever the machine."""
    for on_gpu in (True, False):
        assert gb(sft(lora=None, max_length=8), on_gpu=on_gpu) == pytest.approx(27.5, rel=0.1)


def test_a_whole_critic_costs_as_much_as_full_training() -> None:
    """Which is why the recipes keep two of its layers."""
    assert gb(ppo(critic={})) - gb(ppo()) > 20


@pytest.mark.parametrize(
    ("more", "less"),
    [
        (sft(), sft(batch_size=1)),
        (sft(), sft(max_length=512)),
        (ppo(), ppo(max_new_tokens=256)),
        (ppo(mini_batch_size=4), ppo()),
        (ppo(lora=None, publish="merged"), ppo()),
    ],
)
def test_what_the_advice_lowers_lowers_it(more: Any, less: Any) -> None:
    """Each field that is named when memory is short."""
    assert gb(more) > gb(less)


def test_a_cpu_takes_more() -> None:
    """fp32 weights, and no layer is computed again."""
    assert gb(sft(), on_gpu=False) > gb(sft())


def test_a_comparison_trains_nothing() -> None:
    """The engine is all that it needs."""
    recipe = CompareRecipe(
        stage="compare", run="c", model=Path("m"), candidate="x", prompts=(Path("p"),)
    )
    assert gb(recipe) == 0
