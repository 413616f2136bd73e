"""The weights: one transformers model, read again in place, with LoRA adapters beside it.

Only the worker's thread calls what is here.

Shapes: T tokens, V the vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from peft import PeftConfig, PeftModel
from safetensors import SafetensorError, safe_open
from torch import Tensor
from transformers import AutoModelForCausalLM, DynamicCache

from server.simple.errors import BadRequest
from server.versions.weights import TIED_HEAD


class PolicyModel:
    """`dtype` is torch's name of a type, or `auto` for the one that the weights are written in."""

    def __init__(self, folder: Path, dtype: str) -> None:
        self._device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self._model = AutoModelForCausalLM.from_pretrained(
            folder, dtype=dtype, use_safetensors=True, local_files_only=True
        )
        self._model.to(self._device).eval()
        self._peft: PeftModel | None = None
        self._selected: str | None = None
        self.vocabulary = int(self._model.get_output_embeddings().weight.shape[0])
        self.longest: int | None = getattr(self._model.config, "max_position_embeddings", None)
        """Tokens that the model was made for; None if it does not say."""

    @property
    def end_ids(self) -> frozenset[int]:
        """Tokens that end an answer, by the model's own account."""
        ends = self._model.generation_config.eos_token_id
        return frozenset(ends if isinstance(ends, list) else [] if ends is None else [ends])

    def new_cache(self) -> Any:
        return DynamicCache(config=self._model.config)

    @torch.inference_mode()
    def logits(self, ids: Sequence[int], cache: Any, adapter: str | None, *, every: bool) -> Tensor:
        """Read `ids` into the cache; the logits after each of them, or after the last alone.

        Float32 on the CPU, of shape TV, T being 1 unless `every`.
        """
        self._select(adapter)
        ids_1T = torch.tensor([ids], device=self._device)
        keep = 0 if every else 1
        answer = self._model(
            input_ids=ids_1T, past_key_values=cache, use_cache=True, logits_to_keep=keep
        )
        logits_TV: Tensor = answer.logits[0].float().cpu()
        return logits_TV

    @torch.no_grad()
    def reload(self, folder: Path) -> None:
        """Take other weights of the same model; nothing is changed unless all of them fit.

        Written into the tensors in place, a tied output head follows its embeddings.
        """
        if self._peft is not None:
            raise BadRequest("reload_weights: this engine serves adapters; start it without them")
        own: dict[str, Tensor] = dict(self._model.named_parameters())
        try:
            places = _places(folder, own)
            for file, names in places.items():
                with safe_open(file, framework="pt") as source:
                    for name in names:
                        own[name].copy_(source.get_tensor(name))
        except (OSError, SafetensorError) as error:
            raise BadRequest(f"reload_weights: {folder.name} cannot be read: {error}") from error

    def load_adapter(self, key: str, folder: Path, max_rank: int) -> None:
        """Hold an adapter under `key`, a name without dots; refused unless every tensor fits."""
        try:
            config = PeftConfig.from_pretrained(str(folder))
            if getattr(config, "r", 0) > max_rank:
                raise BadRequest(f"LoRA rank {config.r} is greater than max_lora_rank {max_rank}")
            config.inference_mode = True
            if self._peft is None:
                self._peft = PeftModel(self._model, config, adapter_name=key)
            result = self._peft.load_adapter(str(folder), key, is_trainable=False)
        except (OSError, ValueError, KeyError, TypeError, RuntimeError, SafetensorError) as error:
            self.delete_adapter(key)
            raise BadRequest(f"the adapter in {folder.name} cannot be loaded: {error}") from error
        # The other adapters' tensors may be listed as missing too.
        missing = [name for name in result.missing_keys if f".{key}." in name]
        if strangers := [*missing, *result.unexpected_keys]:
            self.delete_adapter(key)
            message = f"the adapter in {folder.name} does not fit the model: {strangers[0]}"
            raise BadRequest(message)
        self._selected = None
        self._peft.base_model.disable_adapter_layers()

    def delete_adapter(self, key: str) -> None:
        """Let go of an adapter, if it is held."""
        if self._peft is None or key not in self._peft.peft_config:
            return
        if others := [name for name in self._peft.peft_config if name != key]:
            # PEFT chooses another by itself if the one that goes is the active one, and warns.
            self._select(others[0])
        self._select(None)
        self._peft.delete_adapter(key)

    def _select(self, adapter: str | None) -> None:
        if adapter == self._selected:
            return
        assert self._peft is not None
        if adapter is None:
            self._peft.base_model.disable_adapter_layers()
        else:
            self._peft.base_model.enable_adapter_layers()
            self._peft.set_adapter(adapter, inference_mode=True)
        self._selected = adapter


def _places(folder: Path, own: dict[str, Tensor]) -> dict[Path, list[str]]:
    """Which file holds which of the model's tensors; refused unless all are there and fit."""
    places: dict[Path, list[str]] = {}
    for file in sorted(folder.glob("*.safetensors")):
        with safe_open(file, framework="pt") as source:
            names = [n for n in source.keys() if n in own or n != TIED_HEAD]  # noqa: SIM118
            for name in names:
                if name not in own:
                    raise BadRequest(f"reload_weights: {folder.name} has an unknown {name}")
                if list(own[name].shape) != source.get_slice(name).get_shape():
                    raise BadRequest(f"reload_weights: {name} has another shape than the model's")
            places[file] = names
    found = {name for names in places.values() for name in names}
    if missing := sorted(own.keys() - found):
        raise BadRequest(f"reload_weights: {folder.name} lacks {missing[0]}")
    return places
