"""Merge a LoRA adapter into dense weights, which then load by path alone."""

from __future__ import annotations

import shutil
from pathlib import Path

import torch
from peft import PeftModel
from safetensors import SafetensorError
from transformers import AutoConfig, AutoModelForCausalLM

from galen.errors import Conflict, RecipeError
from trainer import fit
from trainer.model import load_tokenizer


def merge(adapter: Path, out: Path, base: Path | None = None) -> Path:
    """Write `adapter` merged into its base to `out`, with the tokenizer.

    The merge is computed in fp32 and then cast to the base's precision, since bf16 would round the
    update twice. Without `base`, the adapter's configuration names it.
    """
    config = adapter / fit.ADAPTER_CONFIG
    if not config.is_file():
        raise RecipeError(f"{adapter}: not an adapter ({fit.ADAPTER_CONFIG} is missing)")
    if out.is_file() or (out.is_dir() and any(out.iterdir())):
        raise Conflict(f"{out}: already there; choose another folder or delete it")
    base = base or _base_of(config)
    tokenizer = load_tokenizer(base)
    if problems := fit.adapter_problems(adapter, base):
        lines = "\n".join(f"  {problem}" for problem in problems)
        raise RecipeError(f"{adapter} does not fit {base}:\n{lines}")
    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    try:
        merged = PeftModel.from_pretrained(model, adapter).merge_and_unload(safe_merge=True)
    except (OSError, RuntimeError, TypeError, ValueError, SafetensorError) as error:
        raise RecipeError(f"{adapter}: no sound adapter for {base}: {error}") from error
    draft = out.with_name(f".{out.name}.partial")
    shutil.rmtree(draft, ignore_errors=True)
    merged.to(AutoConfig.from_pretrained(base).dtype).save_pretrained(draft)
    tokenizer.save_pretrained(draft)
    if out.exists():
        out.rmdir()
    draft.rename(out)
    return out


def _base_of(config: Path) -> Path:
    """The base model that an adapter says it was trained on."""
    named = fit.read_json(config).get("base_model_name_or_path")
    if not isinstance(named, str) or not named:
        raise RecipeError(f"{config}: names no base model; give its folder with --base")
    return Path(named)
