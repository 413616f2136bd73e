"""What `auto` means in an engine's settings: it follows from the model and from the machine.

A GPU is vLLM's own, and nothing is capped there. A CPU is shared with trainer, judge and gateway,
so threads and cache are bounded; the context is the model's own, as far as the cache holds it.
"""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from galen.errors import InvalidInput
from server.engines.machine import Machine, this_machine
from server.settings import EngineSettings, ServerSettings

log = logging.getLogger(__name__)

SMALL = 30_000_000
"""Parameters up to which a second thread costs more than it gives."""
CACHE_SHARE = 8
"""The cache takes one part in so many of the memory that the weights leave."""
SEQUENCES = 128
"""Sequences that vLLM computes at once on a CPU; a cache for more has no use."""
BLOCK = 128
"""Tokens of a block of the cache on a CPU."""
STEP_FLOP_PER_THREAD = 2e11
"""Bound of an engine's step: some ten seconds on a slow core, well within `hang_limit_s`."""
STEP_TOKENS = 2048
"""vLLM's own bound for a step on a CPU."""
GIB = 1024**3


@dataclass(frozen=True, slots=True)
class Model:
    """Figures from a model's folder; 0 where it gives none."""

    parameters: int
    longest: int
    """The longest context that it was made for, in tokens."""
    cached_numbers: int
    """Keys and values of one token, in all layers together."""


def resolved(settings: ServerSettings) -> ServerSettings:
    """`auto` replaced for this model on this machine; the outcome is logged."""
    machine = this_machine(settings.engine.backend)
    engine = resolve(settings.engine, read_model(settings.model), machine)
    log.info("engine: %s", describe(engine, machine))
    return settings.model_copy(update={"engine": engine})


def resolve(engine: EngineSettings, model: Model, machine: Machine) -> EngineSettings:
    """`auto` replaced; vLLM chooses what stays `auto`."""
    if machine.has_gpu:
        is_vllm = engine.backend == "vllm"
        given: dict[str, Any] = {
            "max_model_len": engine.max_model_len if is_vllm else _context(engine, model.longest),
            "kv_cache_bytes": None if engine.kv_cache_bytes == "auto" else engine.kv_cache_bytes,
            "enforce_eager": engine.enforce_eager is True,
        }
        return engine.model_copy(update=given)
    auto_dtype = "bfloat16" if machine.has_bf16 else "float32"
    dtype = auto_dtype if engine.dtype == "auto" else engine.dtype
    threads = engine.threads if isinstance(engine.threads, int) else _threads(model, machine)
    token_bytes = model.cached_numbers * _width(dtype)
    cache = engine.kv_cache_bytes
    if cache == "auto":
        # Twice the weights: a packed copy of the output head, and new weights while they are read.
        left = max(0, machine.memory - 2 * model.parameters * _width(dtype))
        cache = _cache_bytes(left, token_bytes, _context(engine, model.longest))
    # vLLM keeps one block for itself.
    holds = (cache // token_bytes // BLOCK - 1) * BLOCK if cache and token_bytes else model.longest
    if cache and token_bytes and holds < BLOCK:
        least = 2 * BLOCK * token_bytes
        message = f"engine.kv_cache_bytes is {cache:,}: this model needs at least {least:,}"
        raise InvalidInput(message, param="engine.kv_cache_bytes")
    return engine.model_copy(
        update={
            "dtype": dtype,
            "threads": threads,
            "kv_cache_bytes": cache,
            "max_model_len": _context(engine, min(model.longest, holds)),
            "enforce_eager": engine.enforce_eager is not False,
            "arguments": (*_step_bound(engine, model, threads), *engine.arguments),
        }
    )


def describe(engine: EngineSettings, machine: Machine) -> str:
    """In one line, such as `float32 (no bf16 instructions), 2 threads, 4,096 tokens, 1.2 GiB`."""
    length, given = engine.max_model_len, engine.kv_cache_bytes
    tokens = f"{length:,} tokens" if isinstance(length, int) else "the longest context that fits"
    if machine.has_gpu:
        return f"on a GPU, dtype {engine.dtype}, {tokens}"
    why = "" if machine.has_bf16 or engine.dtype != "float32" else " (no bf16 instructions)"
    cache = f"{given / GIB:.2g} GiB" if isinstance(given, int) else "vLLM's own"
    plural = "" if engine.threads == 1 else "s"
    return f"{engine.dtype}{why}, {engine.threads} thread{plural}, {tokens}, {cache} cache"


def read_model(folder: Path) -> Model:
    """From config.json and the weights' size."""
    try:
        whole = json.loads((folder / "config.json").read_bytes())
        config = whole.get("text_config") or whole
        stored = str(config.get("dtype") or config.get("torch_dtype") or "float32")
        heads = _figure(config, "num_attention_heads")
        size = _figure(config, "head_dim") or _figure(config, "hidden_size") // max(1, heads)
        key_heads = _figure(config, "num_key_value_heads") or heads
        cached = 2 * _figure(config, "num_hidden_layers") * key_heads * size
        longest = _figure(config, "max_position_embeddings")
    except (OSError, ValueError, AttributeError):
        stored, cached, longest = "float32", 0, 0
    weights = sum(file.stat().st_size for file in folder.glob("*.safetensors"))
    return Model(weights // _width(stored), longest, cached)


def _figure(config: dict[str, Any], name: str) -> int:
    """A count; 0 if it is missing or no whole number above 0."""
    value = config.get(name)
    return value if isinstance(value, int) and value > 0 else 0


def _width(dtype: str) -> int:
    """Bytes of a number."""
    return 4 if dtype in ("float32", "float") else 2


def _context(engine: EngineSettings, longest: int) -> int | Literal["auto"]:
    """The context that was asked for, else this one; `auto` where it is not known."""
    return longest or "auto" if engine.max_model_len == "auto" else engine.max_model_len


def _threads(model: Model, machine: Machine) -> int:
    """All cores where there are one or two; else one is left to the gateway and the others."""
    if model.parameters <= SMALL:
        return 1
    return machine.cores if machine.cores <= 2 else machine.cores - 1


def _cache_bytes(left: int, token_bytes: int, longest: int | Literal["auto"]) -> int:
    """A share of the memory that is left: at least some blocks, at most what is of use."""
    share = left // CACHE_SHARE
    if token_bytes and isinstance(longest, int):
        share = min(share, token_bytes * (SEQUENCES * -(-longest // BLOCK) + 1) * BLOCK)
    return max(share, 9 * BLOCK * token_bytes, 64 * 1024**2)


def _step_bound(engine: EngineSettings, model: Model, threads: int) -> tuple[str, ...]:
    """A bound on the tokens of a step, so that a long prompt does not look like a hang."""
    tokens = int(STEP_FLOP_PER_THREAD * threads / (2 * max(1, model.parameters)))
    if engine.backend != "vllm" or tokens >= STEP_TOKENS:
        return ()
    return ("--max-num-batched-tokens", str(max(BLOCK, tokens // BLOCK * BLOCK)))
