"""Runs inside vLLM: lets its workers read other weights, also into a tied output head.

On a CPU vLLM computes with packed copies of the weights. Its own `reload_weights` repacks only the
layers that have weights in the files. A tied head has none there, since it shares the embeddings',
so it would keep its copy of the old ones.
"""

from __future__ import annotations

from typing import Any

RELOAD = "reload_with_head"
"""The method's name for `/collective_rpc`."""


class ReloadExtension:
    """A mixin of vLLM's worker (`--worker-extension-cls`)."""

    def reload_with_head(self: Any, weights_path: str) -> None:
        """Read the weights of a folder; the engine is paused meanwhile."""
        self.reload_weights(weights_path=weights_path)
        for layer in self.model_runner.get_model().modules():
            method: Any = getattr(layer, "quant_method", None)
            is_head = type(layer).__name__ == "ParallelLMHead"
            # A quantized head cannot be processed twice.
            if is_head and type(method).__name__ == "UnquantizedEmbeddingMethod":
                method.process_weights_after_loading(layer)
