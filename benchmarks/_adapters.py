"""Write COUNT different LoRA versions of a model: MODEL FOLDER COUNT. Prints one folder a line.

It runs as a process of its own, so that torch does not stay in the measuring process.
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM, AutoTokenizer

from galen import digest
from trainer.rl import publish

RANK = 64
"""The rank of the shipped recipes."""
PROMPTS = ((1, 20, 33, 54, 76, 98, 120, 77), (1, 30, 40, 50, 60))


def main(model: Path, folder: Path, count: int) -> None:
    tokenizer = AutoTokenizer.from_pretrained(model)
    lineage = publish.Lineage("benchmark", 0, "0" * 64, "base", digest.of_folder(model))
    for number in range(count):
        torch.manual_seed(number)
        config = LoraConfig(
            r=RANK, lora_alpha=2 * RANK, target_modules="all-linear", init_lora_weights=False
        )
        policy = get_peft_model(AutoModelForCausalLM.from_pretrained(model), config).eval()
        sequences = publish.probe_ids(policy, PROMPTS, pad=0)
        prefix = f"v{number}"
        print(
            publish.write_version(policy, tokenizer, "adapter", folder, prefix, sequences, lineage)
        )


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]))
