"""A Qwen3 of about 60 M random parameters: `python -m benchmarks._random_model FOLDER`.

It ends an answer after any token with a chance of about 1 in 160, so that its answers have very
different lengths, as real ones have.
"""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from benchmarks._services import ROOT
from trainer import demo_model
from trainer.recipes import DemoModel

CHANCE = 1 / 160


def main(folder: Path) -> None:
    lines = (ROOT / "data/demo/sft.jsonl").read_text("utf-8").splitlines()
    texts = [row["input"] + row["output"] for row in map(json.loads, lines)]
    shape = DemoModel(hidden=768, layers=8, heads=12, kv_heads=4)
    demo_model.build(shape, texts, folder, seed=0)
    model = AutoModelForCausalLM.from_pretrained(folder)
    end = AutoTokenizer.from_pretrained(folder).eos_token_id
    _let_end(model, end)
    model.save_pretrained(folder)


@torch.no_grad()
def _let_end(model: torch.nn.Module, end: int) -> None:
    """Give every token the same first coordinate, and the end's row of the head a weight on it."""
    embeddings = model.get_input_embeddings().weight  # type: ignore[operator]
    embeddings[:, 0] = 1.0
    ids_BT = torch.randint(10, 1000, (8, 64), generator=torch.Generator().manual_seed(0))
    found = model(input_ids=ids_BT, output_hidden_states=True)
    others = float(found.logits.logsumexp(dim=-1).mean())
    own = float(found.logits[..., end].mean())
    first = float(found.hidden_states[-1][..., 0].mean())
    head = model.get_output_embeddings().weight  # type: ignore[operator]
    head[end, 0] += (others + math.log(CHANCE) - own) / first


if __name__ == "__main__":
    main(Path(sys.argv[1]))
