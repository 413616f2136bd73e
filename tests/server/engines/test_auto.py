"""What `auto` becomes, by tables of models and machines."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from galen.errors import InvalidInput
from server.engines import auto, machine
from server.engines.auto import Model
from server.engines.machine import Machine
from server.settings import EngineSettings

GIB = auto.GIB
TOY = Model(1_100_000, 1024, 768)
HALF = Model(494_000_000, 32_768, 6_144)
"""Qwen2.5-0.5B."""
ONE_AND_HALF = Model(1_720_000_000, 40_960, 57_344)
"""Qwen3-1.7B."""
OLD = Machine(has_bf16=False, cores=2, memory=24 * GIB, has_gpu=False)
NEW = Machine(has_bf16=True, cores=16, memory=64 * GIB, has_gpu=False)
GPU = Machine(has_bf16=True, cores=16, memory=64 * GIB, has_gpu=True)


@pytest.mark.parametrize(
    ("model", "on", "dtype", "threads"),
    [
        (TOY, OLD, "float32", 1),
        (TOY, NEW, "bfloat16", 1),
        (HALF, OLD, "float32", 2),
        (HALF, NEW, "bfloat16", 15),
        (HALF, Machine(False, 1, 8 * GIB, False), "float32", 1),
    ],
)
def test_dtype_and_threads_follow_from_the_cpu(
    model: Model, on: Machine, dtype: str, threads: int
) -> None:
    """No bfloat16 without instructions for it; the cores that nothing else needs, one for a toy."""
    engine = auto.resolve(EngineSettings(), model, on)
    assert (engine.dtype, engine.threads, engine.enforce_eager) == (dtype, threads, True)


@pytest.mark.parametrize(
    ("model", "on", "tokens"),
    [
        (TOY, OLD, 1024),
        (HALF, OLD, 32_768),
        (HALF, Machine(False, 2, 6 * GIB, False), 12_416),
        (ONE_AND_HALF, OLD, 6_400),
        (ONE_AND_HALF, Machine(False, 2, 8 * GIB, False), 1024),
    ],
)
def test_the_context_is_the_models_own_as_far_as_the_cache_holds_it(
    model: Model, on: Machine, tokens: int
) -> None:
    """The cache is a share of what the weights leave, never a toy's number."""
    engine = auto.resolve(EngineSettings(), model, on)
    assert engine.max_model_len == tokens
    assert isinstance(engine.kv_cache_bytes, int)
    assert engine.kv_cache_bytes >= tokens * model.cached_numbers * 4
    assert engine.kv_cache_bytes <= max(on.memory // auto.CACHE_SHARE, GIB // 2)


def test_a_toy_takes_no_more_cache_than_it_can_use() -> None:
    """However much memory there is."""
    engine = auto.resolve(EngineSettings(), TOY, NEW)
    assert engine.kv_cache_bytes == 2 * 768 * (1024 * auto.SEQUENCES + auto.BLOCK)


def test_nothing_is_capped_on_a_gpu() -> None:
    """Neither cache nor context nor step, and it is compiled."""
    engine = auto.resolve(EngineSettings(), HALF, GPU)
    assert (engine.max_model_len, engine.kv_cache_bytes, engine.dtype) == ("auto", None, "auto")
    assert (engine.enforce_eager, engine.threads, engine.arguments) == (False, "auto", ())


def test_the_simple_engine_gets_a_number_on_a_gpu_too() -> None:
    """It cannot measure what fits."""
    simple = EngineSettings(backend="transformers")
    assert auto.resolve(simple, HALF, GPU).max_model_len == 32_768


@pytest.mark.parametrize("blocks", [0.1, 1.9])
def test_a_cache_that_holds_no_token_is_refused(blocks: float) -> None:
    """One block is vLLM's own, so the least is two."""
    least = 2 * auto.BLOCK * TOY.cached_numbers * 4
    small = EngineSettings(kv_cache_bytes=int(least * blocks / 2))
    with pytest.raises(InvalidInput, match=f"at least {least:,}") as refused:
        auto.resolve(small, TOY, OLD)
    assert refused.value.param == "engine.kv_cache_bytes"
    enough = EngineSettings(kv_cache_bytes=least)
    assert auto.resolve(enough, TOY, OLD).max_model_len == auto.BLOCK


@pytest.mark.parametrize("on", [OLD, NEW, GPU])
def test_each_setting_overrides_its_auto(on: Machine) -> None:
    """Whatever the machine."""
    given: dict[str, Any] = {
        "max_model_len": 2048,
        "dtype": "float16",
        "threads": 3,
        "kv_cache_bytes": 5_000_000,
        "enforce_eager": not on.has_gpu and on.has_bf16,
    }
    engine = auto.resolve(EngineSettings(**given), HALF, on)
    assert {name: getattr(engine, name) for name in given} == given


@pytest.mark.parametrize(("model", "bound"), [(TOY, None), (HALF, "384"), (ONE_AND_HALF, "128")])
def test_a_step_of_a_large_model_is_bounded_on_a_cpu(model: Model, bound: str | None) -> None:
    """Else one long prompt would look like a hang; an operator's own arguments come behind."""
    engine = auto.resolve(EngineSettings(arguments=("--seed", "7")), model, OLD)
    expected = ("--max-num-batched-tokens", bound) if bound else ()
    assert engine.arguments == (*expected, "--seed", "7")


@pytest.mark.parametrize(
    ("config", "model"),
    [
        (
            {"dtype": "bfloat16", "num_hidden_layers": 2, "num_attention_heads": 4,
             "num_key_value_heads": 2, "hidden_size": 64, "max_position_embeddings": 512},
            Model(500, 512, 2 * 2 * 2 * 16),
        ),
        ({"torch_dtype": "float32", "text_config": None}, Model(250, 0, 0)),
        ({"text_config": {"dtype": "float16", "head_dim": 8, "num_attention_heads": 3,
                          "num_hidden_layers": 1}}, Model(500, 0, 48)),
        ({"max_position_embeddings": "512", "num_hidden_layers": "2", "head_dim": 8,
          "num_attention_heads": 3, "dtype": "float16"}, Model(500, 0, 0)),
        ([], Model(250, 0, 0)),
        (None, Model(250, 0, 0)),
    ],
)  # fmt: skip
def test_what_a_models_folder_tells(tmp_path: Path, config: Any, model: Model) -> None:
    """By config.json, also by one that tells little; a folder without one is no failure."""
    (tmp_path / "model.safetensors").write_bytes(bytes(1000))
    if config is not None:
        (tmp_path / "config.json").write_text(json.dumps(config), "utf-8")
    assert auto.read_model(tmp_path) == model


@pytest.mark.parametrize(
    ("model", "on", "line"),
    [
        (HALF, OLD, "float32 (no bf16 instructions), 2 threads, 32,768 tokens, 2.5 GiB cache"),
        (TOY, NEW, "bfloat16, 1 thread, 1,024 tokens, 0.19 GiB cache"),
        (HALF, GPU, "on a GPU, dtype auto, the longest context that fits"),
    ],
)
def test_the_outcome_is_one_line(model: Model, on: Machine, line: str) -> None:
    """For the log, at each start."""
    assert auto.describe(auto.resolve(EngineSettings(), model, on), on) == line


def test_a_config_that_tells_nothing_leaves_the_context_to_vllm() -> None:
    """Rather than to a guess."""
    engine = auto.resolve(EngineSettings(), Model(1000, 0, 0), OLD)
    assert engine.max_model_len == "auto"


def test_this_machine_is_some_machine() -> None:
    """Its facts are found without torch."""
    found = machine.this_machine("vllm")
    assert found.cores >= 1
    assert found.memory > GIB // 4
