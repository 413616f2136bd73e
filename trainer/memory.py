"""How much memory training takes, by arithmetic over a model's configuration.

An estimate for the longest rows that a recipe allows. On a CPU it is held against measured peaks
(benchmarks/training_memory.py); for a GPU it is arithmetic alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from trainer.recipes import CompareRecipe, Lora, PpoRecipe, Recipe, RlRecipe, Tuning

ADAM = 16
"""Bytes of a trained parameter: fp32 weight, gradient, and Adam's two moments."""
TILE = (4096, 32768)
"""Most tokens, and most of the vocabulary, whose logits TRL's chunked head holds at a time."""
LOGIT = 36
"""Bytes of a logit in such a tile on a CPU: the tile, its softmax and its gradient in fp32."""
LOGIT_ON_GPU = 6
"""There the tile is folded by a kernel."""
MOST_LOGITS = 1 << 25
"""Logits that PPO's head holds at a time: about 220 tokens of Qwen3's vocabulary."""
LAYER = 63
"""Bytes that a layer keeps of a token for each hidden unit, in bf16, without checkpointing: half of
what Qwen2.5-0.5B under LoRA was seen to keep on a CPU."""
PROMPT = 512
"""Tokens assumed for a prompt in PPO."""


@dataclass(frozen=True, slots=True)
class Shape:
    """A model's size by its configuration, in parameters, not bytes."""

    embeddings: int
    """Parameters of embeddings and head; tied ones count once."""
    layer: int
    layers: int
    hidden: int
    vocabulary: int
    lora_width: int
    """Inputs and outputs of one layer's linear modules together: its LoRA parameters by rank."""

    @property
    def parameters(self) -> int:
        return self.embeddings + self.layers * self.layer


def shape_of(config: Mapping[str, Any]) -> Shape:
    """From a decoder's `config.json`. Raises `KeyError` or `TypeError` for another kind."""
    hidden, inner = int(config["hidden_size"]), int(config["intermediate_size"])
    heads = int(config["num_attention_heads"])
    kv_heads = int(config.get("num_key_value_heads") or heads)
    head = int(config.get("head_dim") or hidden // heads)
    modules = [
        *((hidden, heads * head), (hidden, kv_heads * head), (hidden, kv_heads * head)),
        *((heads * head, hidden), (hidden, inner), (hidden, inner), (inner, hidden)),
    ]
    vocabulary = int(config["vocab_size"])
    ends = 1 if config.get("tie_word_embeddings") else 2
    return Shape(
        embeddings=ends * vocabulary * hidden,
        layer=sum(inputs * outputs for inputs, outputs in modules),
        layers=int(config["num_hidden_layers"]),
        hidden=hidden,
        vocabulary=vocabulary,
        lora_width=sum(inputs + outputs for inputs, outputs in modules),
    )


def training_bytes(recipe: Recipe, shape: Shape, *, on_gpu: bool) -> int:
    """What the recipe's own process takes at most: weights, optimizer, and what a step keeps."""
    match recipe:
        case Tuning():
            return _tuning(recipe, shape, on_gpu)
        case RlRecipe():
            at_once = recipe.micro_batch_size or recipe.mini_batch_size
            tokens = at_once * (PROMPT + recipe.max_new_tokens)
            layers, critic = 0, 0
            if isinstance(recipe, PpoRecipe):
                layers = recipe.critic.layers or shape.layers
                critic = shape.embeddings + layers * shape.layer
            is_copied = recipe.needs_reference and recipe.lora is None
            reference = _width(on_gpu) * shape.parameters if is_copied else 0
            kept = _step(tokens, shape.layers + layers, shape, on_gpu)
            kept += MOST_LOGITS * LOGIT
            return _policy(recipe.lora, shape, on_gpu) + ADAM * critic + reference + kept
        case CompareRecipe():
            return 0


def _tuning(recipe: Tuning, shape: Shape, on_gpu: bool) -> int:
    """Pairs count twice, and so does a whole model that has a reference beside it."""
    paired = recipe.stage in ("reward", "dpo", "orpo")
    tokens = recipe.batch_size * recipe.max_length * (2 if paired else 1)
    checkpointing = recipe.gradient_checkpointing
    again = on_gpu if checkpointing is None else checkpointing
    policy = _policy(recipe.lora, shape, on_gpu)
    if recipe.quantize:
        policy -= (16 - recipe.quantize) * shape.layers * shape.layer // 8
    if recipe.stage in ("dpo", "kto") and recipe.lora is None:
        policy += _width(on_gpu) * shape.parameters
    head = 0 if recipe.stage == "reward" else _head(tokens, shape, on_gpu)
    # The backward pass begins at the head: its tile is gone before most gradients are there.
    gradients = 4 * shape.parameters if recipe.lora is None else 0
    kept = _step(tokens, 1 if again else shape.layers, shape, on_gpu)
    return policy + max(0, head - gradients) + kept


def _policy(lora: Lora | None, shape: Shape, on_gpu: bool) -> int:
    if lora is None:
        return ADAM * shape.parameters
    trained = lora.r * shape.layers * shape.lora_width
    return _width(on_gpu) * shape.parameters + ADAM * trained


def _step(tokens: int, layers: int, shape: Shape, on_gpu: bool) -> int:
    """What is kept of a step: of `layers` layers all, of the others their input."""
    inputs = shape.layers * shape.hidden * _width(on_gpu)
    return tokens * (layers * shape.hidden * LAYER * _width(on_gpu) // 2 + inputs)


def _head(tokens: int, shape: Shape, on_gpu: bool) -> int:
    tile = min(tokens, TILE[0]) * min(shape.vocabulary, TILE[1])
    return tile * (LOGIT_ON_GPU if on_gpu else LOGIT)


def _width(on_gpu: bool) -> int:
    """Bytes of a weight that is not trained."""
    return 2 if on_gpu else 4
