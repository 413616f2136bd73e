"""The parts of the simple engine, and the names by which its weights are asked for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from pathlib import Path

from galen.errors import NotFound
from server.simple.errors import BadRequest
from server.simple.generate import Writer
from server.simple.metrics import EngineMetrics
from server.simple.model import PolicyModel
from server.simple.options import Options
from server.simple.structured import Grammars
from server.simple.tokenizer import Tokenizer
from server.simple.worker import Worker


@dataclass(slots=True)
class SimpleEngine:
    options: Options
    tokenizer: Tokenizer
    worker: Worker
    metrics: EngineMetrics
    grammars: Grammars
    vocabulary: int
    end_ids: frozenset[int]
    """Tokens that end an answer by themselves."""
    weight_version: str = "default"
    _adapters: dict[str, str] = field(default_factory=dict)
    """An adapter's name to the key under which the model holds it."""
    _keys: count[int] = field(default_factory=count)
    _forgotten: set[str] = field(default_factory=set)
    """Keys whose adapters sequences are still being written with."""

    def adapter_of(self, model: str | None) -> str | None:
        """The key of the adapter that a request names; None for the weights themselves."""
        if not model or model == self.options.served_model_name:
            return None
        if key := self._adapters.get(model):
            return key
        raise NotFound(f"The model {model[:100]!r} does not exist.", param="model")

    def names(self) -> list[str]:
        return [self.options.served_model_name, *self._adapters]

    def begin(self, writers: Sequence[Writer]) -> None:
        """Let sequences be written; their adapter may have gone since they were planned."""
        held = {None, *self._adapters.values()}
        if any(writer.plan.adapter not in held for writer in writers):
            raise NotFound("The model does not exist any more.", param="model")
        self.worker.submit(writers)

    async def load_adapter(self, name: str, folder: Path) -> None:
        if name in self.names():
            message = f"The lora adapter {name!r} has already been loaded."
            raise BadRequest(message, param="lora_name")
        if len(self._adapters) >= self.options.max_loras:
            raise BadRequest(
                f"this engine holds {self.options.max_loras} adapters at once; unload one first"
            )
        await self._sweep()
        # A key never comes again, so no sequence can be taken for another adapter's.
        key = f"adapter{next(self._keys)}"
        await self.worker.call(
            lambda model: model.load_adapter(key, folder, self.options.max_lora_rank)
        )
        self._adapters[name] = key

    async def unload_adapter(self, name: str) -> None:
        """Forget a name at once; its tensors go when no sequence is written with them."""
        if name not in self._adapters:
            raise NotFound(f"The lora adapter {name!r} cannot be found.", param="lora_name")
        self._forgotten.add(self._adapters.pop(name))
        await self._sweep()

    async def _sweep(self) -> None:
        for key in [key for key in self._forgotten if not self.worker.uses(key)]:
            self._forgotten.discard(key)
            await self.worker.call(partial(PolicyModel.delete_adapter, key=key))


def load(options: Options) -> SimpleEngine:
    """Read the model; takes as long as its files are large.

    Raises `ValueError` if the model was made for fewer tokens than `max_model_len`.
    """
    model = PolicyModel(options.model, options.dtype)
    if model.longest is not None and options.max_model_len > model.longest:
        raise ValueError(
            f"max_model_len ({options.max_model_len}) is greater than the model's "
            f"max_position_embeddings ({model.longest}); lower it"
        )
    tokenizer = Tokenizer(options.model)
    end_ids = tokenizer.end_ids | model.end_ids
    metrics = EngineMetrics()
    return SimpleEngine(
        options=options,
        tokenizer=tokenizer,
        worker=Worker(model, metrics),
        metrics=metrics,
        grammars=Grammars(tokenizer.inner, model.vocabulary, end_ids),
        vocabulary=model.vocabulary,
        end_ids=end_ids,
    )
