"""What runs in vLLM's worker; the real one is in tests/integration/test_server_supervision.py."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np

from server.engines.plugins.worker import RELOAD, ReloadExtension, without_unread


class UnquantizedEmbeddingMethod:
    """vLLM's, which packs the weights of a layer."""

    def process_weights_after_loading(self, layer: Any) -> None:
        layer.packed = layer.model.weights


class QuantizedMethod:
    def process_weights_after_loading(self, layer: Any) -> None:
        raise AssertionError("a quantized head cannot be processed twice")


class ParallelLMHead:
    """vLLM's output head: computes with a packed copy of the weights."""

    def __init__(self, model: Any, method: Any) -> None:
        self.model = model
        self.quant_method = method
        self.packed = "old"


class Worker(ReloadExtension):
    """As vLLM makes it of its own worker and the extension; it is its own model and runner."""

    def __init__(self, method: Any) -> None:
        self.weights = "old"
        self.model_runner = self
        self.head = ParallelLMHead(self, method)

    def reload_weights(self, weights_path: str) -> None:
        self.weights = weights_path

    def get_model(self) -> Any:
        return self

    def modules(self) -> list[Any]:
        return [self, self.head]


def test_the_output_head_follows_the_weights() -> None:
    """Its packed copy is made anew once all weights have been read."""
    worker = Worker(UnquantizedEmbeddingMethod())
    getattr(worker, RELOAD)(weights_path="new")
    assert (worker.weights, worker.head.packed) == ("new", "new")


def test_a_quantized_head_is_left_to_vllm() -> None:
    """Processing it twice would spoil it."""
    worker = Worker(QuantizedMethod())
    getattr(worker, RELOAD)(weights_path="new")
    assert worker.head.packed == "old"


def test_a_prompt_that_is_not_read_to_its_end_takes_nothing_from_its_seed() -> None:
    """Its generator is out of the way while tokens are drawn, and back afterwards."""
    runner = SimpleNamespace(
        input_batch=SimpleNamespace(num_reqs=3, generators={0: "a", 2: "c"}),
        discard_request_mask=SimpleNamespace(np=np.array([False, True, True, True])),
    )
    during = without_unread(lambda runner, _: dict(runner.input_batch.generators))(runner, None)
    assert (during, runner.input_batch.generators) == ({0: "a"}, {0: "a", 2: "c"})
