"""The weights: one transformers model that can be reloaded. Only one thread may use it.

Shapes: B sequences, T tokens, V the vocabulary.
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from torch import Tensor
from transformers import AutoModelForCausalLM, DynamicCache

from server.simple.protocol import BadRequest

_CACHEABLE = {"full_attention", "sliding_attention", "chunked_attention"}


class Model:
    """`dtype` is torch's name of a type, or `auto` for the one that the weights are written in;
    `most` bounds the tokens of prompt and answer together.

    Raises `ValueError` for a model with a shorter context, or whose state is more than keys and
    values for each token.
    """

    def __init__(self, folder: Path, dtype: str, most: int) -> None:
        self._model, _ = _load(folder, dtype=dtype)
        config = self._model.config.get_text_config(decoder=True)
        kinds = set(getattr(config, "layer_types", None) or ())
        takes = inspect.signature(self._model.forward).parameters
        if self._model._is_stateful or kinds - _CACHEABLE or "position_ids" not in takes:
            raise ValueError(f"the simple engine cannot run a {config.model_type}; use vLLM")
        if most > (longest := getattr(config, "max_position_embeddings", None) or most):
            raise ValueError(
                f"max_model_len: {most} is more than max_position_embeddings, {longest}"
            )
        self.most, self.vocabulary = most, len(self._model.get_output_embeddings().weight)
        ends = self._model.generation_config.eos_token_id
        self.end_ids: set[int] = {*(ends if isinstance(ends, list) else [ends])} - {None}

    @torch.inference_mode()
    def logits(
        self, ids_BT: list[list[int]], cache: DynamicCache, padding: Sequence[int], *, keep: int = 1
    ) -> Tensor:
        """Read `ids_BT` into the cache; the logits after the last `keep` of them, or after all (0).

        In float32 on the CPU. `padding` says how many places at the start of each sequence's cache
        hold nothing.
        """
        inputs: dict[str, Any] = {"past_key_values": cache, "logits_to_keep": keep}
        with self._model.device:
            inputs["input_ids"] = torch.tensor(ids_BT)
            if any(padding):
                places_T = torch.arange(cache.get_seq_length() + len(ids_BT[0]))
                mask_BT = (places_T >= torch.tensor(padding)[:, None]).long()
                inputs["attention_mask"] = mask_BT
                inputs["position_ids"] = (mask_BT.cumsum(-1) - 1)[:, -len(ids_BT[0]) :]
        logits: Tensor = self._model(**inputs).logits
        return logits.float().cpu()

    def reload(self, folder: Path) -> None:
        """Read other weights of the same model; the old ones stay until all of the new ones fit.

        Until then both are in memory.
        """
        try:
            config, dtype = self._model.config, self._model.dtype
            model, loading = _load(folder, config=config, dtype=dtype)
        except (OSError, ValueError, RuntimeError, SafetensorError) as error:
            raise BadRequest(f"reload_weights: {folder.name} cannot be read: {error}") from error
        if strangers := sorted(loading["missing_keys"] | loading["unexpected_keys"]):
            raise BadRequest(f"reload_weights: {folder.name} does not fit: {strangers[0]}")
        self._model = model


def _load(folder: Path, **more: Any) -> tuple[Any, dict[str, set[str]]]:
    """A model, and its weights that the folder lacks or has in excess."""
    model, loading = AutoModelForCausalLM.from_pretrained(
        folder, use_safetensors=True, local_files_only=True, output_loading_info=True, **more
    )
    return model.to("cuda" if torch.cuda.is_available() else "cpu").eval(), loading
