"""What a recipe would do, without doing it: rows, tokens, steps, memory, and one example."""

from __future__ import annotations

import importlib
import json
from dataclasses import dataclass
from math import ceil
from pathlib import Path
from typing import Any

from transformers import PreTrainedTokenizerBase

from trainer import demo_model, memory
from trainer.data import tokens
from trainer.model import load_tokenizer
from trainer.recipes import Founding, Tuned
from trainer.stages import tuning

GPUS_GB = (8, 12, 16, 24, 40, 48, 80, 141)
"""Sizes of common GPUs' memory."""


@dataclass(frozen=True, slots=True)
class Plan:
    rows: int
    """Rows of token ids to learn from: a conversation may give several."""
    dev_rows: int
    tokens: int
    """In all rows to learn from, once."""
    learnt: int
    """Those of them that the loss is over."""
    longest: int
    steps: int
    """Optimizer steps, if every row is a row of a batch: packing makes fewer."""
    memory: int | None
    """Bytes on a GPU at most, by arithmetic; None where the model's shape is not known."""
    example: list[tuple[str, bool]]
    """The first row's text in parts, and whether each is learnt."""

    @property
    def fits(self) -> int | None:
        """Gigabytes of the smallest common GPU that is large enough; None if none is."""
        if self.memory is None:
            return None
        return next((size for size in GPUS_GB if self.memory <= 0.92e9 * size), None)


def plan(recipe: Tuned) -> Plan:
    """Read and encode all data as the stage does. Raises what the stage would raise for it."""
    stage: tuning.Stage[Any] = importlib.import_module(f"trainer.stages.{recipe.stage}").STAGE
    tokenizer = _tokenizer(stage, recipe)
    rows, dev = tuning.read(stage, recipe, tokenizer)
    parts = [_parts(tokenizer, row) for row in rows]
    lengths = [sum(len(ids) for ids, _ in row) for row in parts]
    a_step = recipe.batch_size * recipe.gradient_accumulation
    return Plan(
        rows=len(rows),
        dev_rows=len(dev) if dev else 0,
        tokens=sum(lengths),
        learnt=sum(len(ids) for row in parts for ids, is_learnt in row if is_learnt),
        longest=max(lengths),
        steps=recipe.max_steps or ceil(recipe.epochs * ceil(len(rows) / a_step)),
        memory=_memory(recipe),
        example=[(str(tokenizer.decode(ids)), is_learnt) for ids, is_learnt in parts[0]],
    )


def seconds_a_step(recipe: Tuned) -> float | None:
    """Of the last finished run of the same stage and model in the same folder, if there is one."""
    found = []
    for path in recipe.runs.glob("*/manifest.json"):
        manifest = json.loads(path.read_text("utf-8"))
        same = (manifest.get("stage"), manifest.get("start")) == (recipe.stage, str(recipe.model))
        if same and manifest.get("seconds") and manifest.get("steps"):
            found.append((path.stat().st_mtime, manifest["seconds"] / manifest["steps"]))
    return max(found)[1] if found else None


def _tokenizer(stage: tuning.Stage[Any], recipe: Tuned) -> PreTrainedTokenizerBase:
    if isinstance(recipe, Founding) and recipe.demo_model:
        texts = demo_model.texts(recipe, stage.kind)
        return demo_model.train_tokenizer(texts, recipe.demo_model.vocabulary)
    assert recipe.model
    return load_tokenizer(recipe.model)


def _parts(tokenizer: PreTrainedTokenizerBase, row: dict[str, Any]) -> list[tuple[list[int], bool]]:
    """Token ids of a row in parts, and whether the loss is over them."""
    if "completion_mask" in row:
        return tokens.parts(row["input_ids"], row["completion_mask"])
    return [
        (ids if isinstance(ids, list) else tokens.ids(tokenizer, ids), name != "prompt")
        for name, ids in row.items()
        if name != "label"
    ]


def _memory(recipe: Tuned) -> int | None:
    config = recipe.model and recipe.model / "config.json"
    if not config or not config.is_file():
        return None
    shape = memory.shape_of(json.loads(Path(config).read_text("utf-8")))
    return memory.training_bytes(recipe, shape, on_gpu=True)
