"""Each stage learns what its data says, on the real libraries."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import AutoModelForSequenceClassification

from trainer import recipes
from trainer.data import tokens
from trainer.data.example import Message
from trainer.model import load_policy, load_scorer, load_tokenizer
from trainer.recipes import RewardRecipe
from trainer.runs import Run
from trainer.stages import pretrain
from trainer.train import train

GOOD, BAD = "建议尽快就医检查", "不知道，别问我"
PAIRS = [{"prompt": f"头痛第{i}天？", "chosen": GOOD, "rejected": BAD} for i in range(12)]
VOTES = [
    {"prompt": f"头痛第{i}天？", "completion": GOOD if i % 2 else BAD, "label": bool(i % 2)}
    for i in range(12)
]


def recipe_of(
    folder: Path, toy: Path, stage: str, rows: list[dict[str, Any]], **changes: Any
) -> Any:
    data = folder / "rows.jsonl"
    data.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    fields = {
        "stage": stage,
        "run": stage,
        "runs": folder / "runs",
        "model": toy,
        "train": [data],
        "epochs": 2,
        "batch_size": 2,
        "learning_rate": 5e-3,
        **changes,
    }
    return recipes.STAGES[stage].model_validate(fields)


@torch.no_grad()
def preference(folder: Path) -> float:
    """log π(good) − log π(bad), in nats, for a question of the data."""
    tokenizer, model = load_tokenizer(folder), load_policy(folder).eval()
    found = []
    for answer in (GOOD, BAD):
        prompt, written = tokens.answered(tokenizer, [Message("user", "头痛第1天？")], answer)
        before, after = (tokens.ids(tokenizer, text) for text in (prompt, written))
        ids_BT = torch.tensor([before + after])
        logprobs_TV = model(input_ids=ids_BT).logits[0].log_softmax(-1)
        index = torch.arange(len(before), len(before) + len(after))
        found.append(float(logprobs_TV[index - 1, ids_BT[0, index]].sum()))
    return found[0] - found[1]


@pytest.mark.parametrize(
    "lora", [{"r": 8, "alpha": 16, "dropout": 0.0}, None], ids=["lora", "full"]
)
@pytest.mark.parametrize(("stage", "rows"), [("dpo", PAIRS), ("orpo", PAIRS), ("kto", VOTES)])
def test_the_better_answer_becomes_likelier(
    toy: Path, tmp_path: Path, stage: str, rows: list[dict[str, Any]], lora: Any
) -> None:
    """Against the worse one, by at least two nats, in the folder that is served."""
    final = train(recipe_of(tmp_path, toy, stage, rows, lora=lora))
    assert preference(final) > preference(toy) + 2


@pytest.mark.parametrize(
    "lora", [{"r": 8, "alpha": 16, "dropout": 0.0}, None], ids=["lora", "full"]
)
def test_a_reward_model_tells_the_better_answer(toy: Path, tmp_path: Path, lora: Any) -> None:
    """`final/` loads by path alone; accuracy and margin on the rows left out are written down."""
    recipe: RewardRecipe = recipe_of(tmp_path, toy, "reward", PAIRS, lora=lora, dev_share=0.25)
    final = train(recipe)
    figures = (Run(recipe).manifest() or {})["figures"]
    assert figures["eval_accuracy"] == 1.0
    assert figures["eval_margin"] > 1
    model, tokenizer = (
        AutoModelForSequenceClassification.from_pretrained(final),
        load_tokenizer(final),
    )
    scores = []
    for answer in (GOOD, BAD):
        text = "".join(tokens.answered(tokenizer, [Message("user", "头痛第1天？")], answer))
        with torch.no_grad():
            scores.append(float(model(torch.tensor([tokens.ids(tokenizer, text)])).logits))
    assert scores[0] > scores[1] + 1
    assert isinstance(load_scorer(final), type(model))


def test_plain_text_is_learnt_in_full_blocks(toy: Path, tmp_path: Path) -> None:
    """The loss on blocks that were left out falls."""
    rows = [{"text": "头痛两天建议就医检查，多喝水。"}] * 200
    recipe = recipe_of(
        tmp_path, toy, "pretrain", rows, block=32, lora=None, dev_share=0.1, save_steps=10
    )
    train(recipe)
    logged = [json.loads(line) for line in Run(recipe).metrics.read_text("utf-8").splitlines()]
    seen = [row["eval_loss"] for row in logged if "eval_loss" in row]
    assert seen[-1] < 0.9 * seen[0]


@given(st.lists(st.lists(st.integers(0, 9), max_size=7), max_size=9), st.integers(1, 6))
def test_blocks_hold_every_token_in_order_but_the_rest(
    documents: list[list[int]], size: int
) -> None:
    """No token is padding, none is there twice."""
    joined = [token for document in documents for token in document]
    found = list(pretrain.blocks(documents, size))
    assert all(len(block) == size for block in found)
    assert [token for block in found for token in block] == joined[: len(joined) // size * size]
