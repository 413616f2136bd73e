"""Merge a LoRA adapter into dense weights, which then load by path alone."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import torch
from peft import PeftModel
from transformers import AutoConfig, AutoModelForCausalLM

from galen.errors import Conflict, RecipeError
from trainer.model import load_tokenizer


def merge(adapter: Path, out: Path, base: Path | None = None) -> Path:
    """Write `adapter` merged into its base to `out`, with the tokenizer.

    Merged in fp32 and then cast to the base's own precision, since merging in bf16 rounds the
    update twice. `base` is read from the adapter's configuration when it is not given.
    """
    config = adapter / "adapter_config.json"
    if not config.is_file():
        raise RecipeError(f"{adapter}: not an adapter (adapter_config.json is missing)")
    if out.exists() and any(out.iterdir()):
        raise Conflict(f"{out}: already there; choose another folder or delete it")
    base = base or Path(json.loads(config.read_text("utf-8"))["base_model_name_or_path"])
    tokenizer = load_tokenizer(base)
    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    merged = PeftModel.from_pretrained(model, adapter).merge_and_unload(safe_merge=True)
    draft = out.with_name(f".{out.name}.partial")
    shutil.rmtree(draft, ignore_errors=True)
    merged.to(AutoConfig.from_pretrained(base).dtype).save_pretrained(draft)
    tokenizer.save_pretrained(draft)
    if out.exists():
        out.rmdir()
    draft.rename(out)
    return out
