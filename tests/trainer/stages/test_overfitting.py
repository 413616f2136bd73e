"""Each stage can learn eight rows by heart; one that cannot has a fault in masks, loss or steps."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM

from trainer import demo_model, recipes
from trainer.data.example import Message
from trainer.data.tokens import prompt_ids
from trainer.model import load_tokenizer
from trainer.recipes import DemoModel
from trainer.runs import Run
from trainer.train import train

pytestmark = pytest.mark.prove

COMPLAINTS = ("头痛", "咳嗽", "牙疼", "腹泻", "失眠", "耳鸣", "便秘", "口干")
ROOMS = "三五七九二四六八"
QUESTIONS = [f"我{what}，该去哪里？" for what in COMPLAINTS]
ANSWERS = [
    f"{what}请去{room}楼{other}号诊室。"
    for what, room, other in zip(COMPLAINTS, ROOMS, reversed(ROOMS), strict=True)
]
ASKED = list(zip(QUESTIONS, ANSWERS, strict=True))
THOUGHT = "<think>\n先看症状。\n</think>\n\n"
CONVERSATIONS = [{"question": q, "answer": THOUGHT + a} for q, a in ASKED]
PAIRS = [{"prompt": q, "chosen": THOUGHT + a, "rejected": THOUGHT + "不知道。"} for q, a in ASKED]
VOTES = [
    {"prompt": q, "completion": THOUGHT + (a if i % 2 else "不知道。"), "label": bool(i % 2)}
    for i, (q, a) in enumerate(ASKED)
]
ROWS: dict[str, list[dict[str, Any]]] = {
    "pretrain": [{"text": (q + a) * 4} for q, a in ASKED],
    "sft": CONVERSATIONS,
    "reward": PAIRS,
    "dpo": PAIRS,
    "orpo": PAIRS,
    "kto": VOTES,
}


def recipe_of(folder: Path, model: Path, stage: str, **changes: Any) -> Any:
    """Evaluated on the rows that are learnt."""
    data = folder / "rows.jsonl"
    data.write_text("".join(json.dumps(row) + "\n" for row in ROWS[stage]), "utf-8")
    fields = {
        "stage": stage,
        "run": stage,
        "runs": folder / "runs",
        "model": model,
        "train": [data],
        "dev": [data],
        "lora": None,
        "epochs": 100,
        "batch_size": 4,
        "learning_rate": 2e-3,
        **changes,
    }
    return recipes.STAGES[stage].model_validate(fields)


def loss(recipe: Any) -> float:
    train(recipe)
    return float((Run(recipe).manifest() or {})["figures"]["eval_loss"])


@torch.no_grad()
def answered(folder: Path) -> list[str]:
    """What the model in `folder` answers greedily, up to its end token."""
    tokenizer = load_tokenizer(folder)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    found = []
    for question in QUESTIONS:
        ids_BT = torch.tensor([prompt_ids(tokenizer, [Message("user", question)])])
        made_BT = model.generate(ids_BT, max_new_tokens=60, do_sample=False)
        said = tokenizer.decode(made_BT[0, ids_BT.shape[1] :])
        found.append(said.split(str(tokenizer.eos_token))[0])
    return found


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The rehearsal's model, which has learnt nothing."""
    folder = tmp_path_factory.mktemp("demo") / "model"
    texts = [f"{q}\n{THOUGHT}{a}" for q, a in ASKED] * 8
    demo_model.build(DemoModel(vocabulary=1100, hidden=128, layers=3), texts, folder, seed=3)
    return folder


@pytest.mark.parametrize(
    ("stage", "bound", "changes"),
    [
        ("pretrain", 0.2, {"block": 32}),
        ("reward", 0.05, {}),
        ("dpo", 0.05, {}),
        ("orpo", 0.05, {}),
        ("kto", 0.05, {}),
    ],
)
def test_eight_rows_are_learnt_by_heart(
    demo: Path, tmp_path: Path, stage: str, bound: float, changes: dict[str, Any]
) -> None:
    """The loss on them falls under a bound that is far from chance."""
    assert loss(recipe_of(tmp_path, demo, stage, **changes)) < bound


def test_what_was_learnt_by_heart_comes_back(demo: Path, tmp_path: Path) -> None:
    """Greedily, character for character, ended by the end token."""
    recipe = recipe_of(tmp_path, demo, "sft")
    assert loss(recipe) < 0.05
    assert answered(Run(recipe).final) == [row["answer"] for row in CONVERSATIONS]


@pytest.mark.timeout(1800)
def test_a_real_model_learns_eight_rows_by_heart(tmp_path: Path) -> None:
    """By LoRA, in the folder that is served, behind its own template."""
    model = os.environ.get("GALEN_REAL_MODEL")
    if not model:
        pytest.skip("GALEN_REAL_MODEL names no folder with a real model")
    lora = {"r": 16, "alpha": 32, "dropout": 0.0}
    recipe = recipe_of(
        tmp_path, Path(model), "sft", lora=lora, batch_size=8, epochs=25, learning_rate=1e-3
    )
    assert loss(recipe) < 0.1
    assert answered(Run(recipe).final) == [row["answer"] for row in CONVERSATIONS]
