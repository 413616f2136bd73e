"""Runs inside vLLM: lets its workers read other weights, and draw by a seed on a CPU.

On a CPU vLLM computes with packed copies of the weights. Its own `reload_weights` repacks only the
layers that have weights in the files. A tied head has none there, since it shares the embeddings',
so it would keep its copy of the old ones.

A prompt may be read in several steps. In each vLLM draws a token for it, throws away all but the
last, and sets the generator of a request with a seed back. A generator of the CPU cannot be set
back: the engine would end.
"""

from __future__ import annotations

from collections.abc import Callable
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


def without_unread(sample_tokens: Callable[..., Any]) -> Callable[..., Any]:
    """`sample_tokens` of vLLM's model runner, which takes no seeded draw for a prompt that is not
    read to its end: what is drawn for it comes from the common generator and is thrown away."""

    def sample(runner: Any, *arguments: Any) -> Any:
        batch = runner.input_batch
        unread = runner.discard_request_mask.np[: batch.num_reqs].nonzero()[0].tolist()
        aside = {row: batch.generators.pop(row) for row in unread if row in batch.generators}
        try:
            return sample_tokens(runner, *arguments)
        finally:
            batch.generators.update(aside)

    return sample
