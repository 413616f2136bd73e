"""Merge LoRA adapters into dense weights, which then load by path alone."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import torch
from peft import PeftModel
from safetensors import SafetensorError
from torch import Tensor, nn
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedTokenizerBase

from galen import digest, disk
from galen.errors import Conflict, RecipeError
from trainer import fit
from trainer.model import load_tokenizer

MOST_KL = 0.05
"""Nats per token between adapter and merged weights: bf16 rounds by some thousandths."""


def merge(adapters: Sequence[Path], out: Path, base: Path | None = None) -> Path:
    """Write `adapters` merged into their base to `out`, one after the other, with the tokenizer.

    Each adapter of a chain was trained on what the ones before it gave. The merge is computed in
    fp32 and then cast to the base's precision, since bf16 would round the update twice. What was
    written is loaded again, and must say what base and adapters say. Without `base`, the first
    adapter's configuration names it.
    """
    for adapter in adapters:
        if not (adapter / fit.ADAPTER_CONFIG).is_file():
            raise RecipeError(f"{adapter}: not an adapter ({fit.ADAPTER_CONFIG} is missing)")
    if out.is_file() or (out.is_dir() and any(out.iterdir())):
        raise Conflict(f"{out}: already there; choose another folder or delete it")
    base = base or _base_of(adapters[0])
    tokenizer = load_tokenizer(base)
    _require_fit(adapters, base)
    model: nn.Module = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    for adapter in adapters:
        with _sound(adapter, base):
            adapted = PeftModel.from_pretrained(model, adapter).eval()
            wanted_TV = _logprobs(adapted, tokenizer)
            model = adapted.merge_and_unload(safe_merge=True)
    draft = out.with_name(f".{out.name}.partial")
    shutil.rmtree(draft, ignore_errors=True)
    with disk.room():
        model.to(AutoConfig.from_pretrained(base).dtype).save_pretrained(draft)  # type: ignore[operator]
        tokenizer.save_pretrained(draft)
    _require_same(draft, wanted_TV)
    if out.exists():
        out.rmdir()
    draft.rename(out)
    return out


def _base_of(adapter: Path) -> Path:
    """The base model that an adapter says it was trained on."""
    config = adapter / fit.ADAPTER_CONFIG
    named = fit.read_json(config).get("base_model_name_or_path")
    if not isinstance(named, str) or not named:
        raise RecipeError(f"{config}: names no base model; give its folder with --base")
    return Path(named)


def _require_fit(adapters: Sequence[Path], base: Path) -> None:
    """Refuse adapters whose tensors do not fit, or whose run began with other weights."""
    for adapter in adapters:
        if problems := fit.adapter_problems(adapter, base):
            lines = "\n".join(f"  {problem}" for problem in problems)
            raise RecipeError(f"{adapter} does not fit {base}:\n{lines}")
    manifest = adapters[0].parent / "manifest.json"
    start = fit.read_json(manifest) if manifest.is_file() else {}
    if start.get("model") not in (None, digest.of_folder(base)):
        raise RecipeError(
            f"{adapters[0]}: its run began with other weights than {base} holds, with those of "
            f"{start.get('start')}; give them with --base, or first the adapters in between"
        )


@contextmanager
def _sound(adapter: Path, base: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, RuntimeError, TypeError, ValueError, SafetensorError) as error:
        raise RecipeError(f"{adapter}: no sound adapter for {base}: {error}") from error


@torch.no_grad()
def _logprobs(model: nn.Module, tokenizer: PreTrainedTokenizerBase) -> Tensor:
    ids = torch.tensor([tokenizer.encode(fit.SAMPLE)])
    logprobs_TV: Tensor = model(input_ids=ids).logits[0].float().log_softmax(-1)
    return logprobs_TV


def _require_same(folder: Path, wanted_TV: Tensor) -> None:
    """Load what was written as anybody would, and compare what it says."""
    written = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    found_TV = _logprobs(written, load_tokenizer(folder))
    kl = float((wanted_TV.exp() * (wanted_TV - found_TV)).sum(-1).mean())
    if not kl <= MOST_KL:
        raise RecipeError(
            f"{folder}: says something else than base and adapter do ({kl:.3f} nats per token, at "
            f"most {MOST_KL}); the folder is left for you to look at"
        )
