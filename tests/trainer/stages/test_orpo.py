"""Laws of ORPO's loss."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from trainer.data import tokens
from trainer.data.example import Message
from trainer.model import load_policy, load_tokenizer
from trainer.recipes import OrpoRecipe
from trainer.runs import Run
from trainer.train import train


def test_the_loss_is_the_papers(toy: Path, tmp_path: Path) -> None:
    """NLL of the chosen answer alone, less β log σ of the log odds ratio; by all the logits."""
    row = {"prompt": "头痛？", "chosen": "建议就医", "rejected": "不知道，别问我"}
    (tmp_path / "rows.jsonl").write_text(json.dumps(row), "utf-8")
    recipe = OrpoRecipe(
        stage="orpo",
        run="orpo",
        runs=tmp_path / "runs",
        model=toy,
        train=(tmp_path / "rows.jsonl",),
        lora=None,
        beta=0.3,
        max_steps=1,
        dev_share=0,
    )
    train(recipe)
    logged = json.loads(Run(recipe).metrics.read_text("utf-8").splitlines()[0])

    tokenizer, model = load_tokenizer(toy), load_policy(toy).eval()
    means = []
    for answer in (row["chosen"], row["rejected"]):
        texts = tokens.answered(tokenizer, [Message("user", row["prompt"])], answer)
        before, after = (tokens.ids(tokenizer, text) for text in texts)
        with torch.no_grad():
            logprobs_TV = model(input_ids=torch.tensor([before + after])).logits[0].log_softmax(-1)
        at = torch.arange(len(before) - 1, len(before) + len(after) - 1)
        means.append(logprobs_TV[at, torch.tensor(after)].mean())
    chosen, rejected = means
    log_odds = [mean - torch.log1p(-torch.exp(mean)) for mean in means]
    odds_loss = -0.3 * torch.nn.functional.logsigmoid(log_odds[0] - log_odds[1])
    assert logged["loss"] == pytest.approx(float(odds_loss - chosen), abs=1e-4)
    assert logged["logps/rejected"] == pytest.approx(float(rejected), abs=1e-4)
