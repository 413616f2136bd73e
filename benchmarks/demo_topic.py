"""The demo model stays on topic: its answers name the complaint that was asked about.

The model of `runs/demo-sft/final`, or the folder in GALEN_DEMO_MODEL, answers every question of
`data/demo/wordings.jsonl` greedily: questions that it never saw, in known wordings and in new ones.
Counted are answers that name the complaint, and answers to emergencies that send to care at once.
"""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM

from benchmarks._results import as_met, record
from galen import transcript
from trainer.data.example import Message
from trainer.data.tokens import prompt_ids
from trainer.model import load_tokenizer

MODEL_VARIABLE = "GALEN_DEMO_MODEL"
QUESTIONS = Path("data/demo/wordings.jsonl")
LEAST = 0.8
AT_ONCE = re.compile("120|急诊")


def main() -> None:
    folder = Path(os.environ.get(MODEL_VARIABLE, "runs/demo-sft/final"))
    if not folder.is_dir():
        print(f"skipped: no model in {folder}; galen train configs/recipes/demo/sft.yaml")
        return
    rows = [json.loads(line) for line in QUESTIONS.read_text("utf-8").splitlines()]
    answers = [_answer(text) for text in _written(folder, [row["input"] for row in rows])]
    pairs = list(zip(rows, answers, strict=True))
    table = []
    for is_new, what in ((False, "known wordings"), (True, "new wordings")):
        chosen = [(row, answer) for row, answer in pairs if row["new_wording"] is is_new]
        urgent = [answer for row, answer in chosen if row["meta"]["risk_level"] == "critical"]
        named = sum(row["complaint"] in answer for row, answer in chosen) / len(chosen)
        sent = sum(bool(AT_ONCE.search(answer)) for answer in urgent) / len(urgent)
        for name, figure, count in (
            ("name the complaint", named, len(chosen)),
            ("send an emergency to care", sent, len(urgent)),
        ):
            target = as_met(figure >= LEAST, f"{LEAST:.0%}")
            table.append((f"{what}: answers that {name}, of {count}", f"{figure:.1%}", target))
    record(__file__, table)


@torch.no_grad()
def _written(folder: Path, questions: list[str]) -> list[str]:
    tokenizer = load_tokenizer(folder)
    model = AutoModelForCausalLM.from_pretrained(folder).eval()
    found = []
    for question in questions:
        ids_BT = torch.tensor([prompt_ids(tokenizer, [Message("user", question)])])
        made_BT = model.generate(ids_BT, max_new_tokens=160, do_sample=False)
        found.append(tokenizer.decode(made_BT[0, ids_BT.shape[1] :], skip_special_tokens=True))
    return found


def _answer(text: str) -> str:
    return transcript.parse(text).answer


if __name__ == "__main__":
    main()
