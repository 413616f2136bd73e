"""Laws of rewards from a trained reward model."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForSequenceClassification

from galen.errors import RecipeError
from tests.fakes.rollouts import rollout_of
from trainer import demo_model
from trainer.model import load_tokenizer
from trainer.recipes import DemoModel, GrpoRecipe
from trainer.rl.reward_model import RewardModelScores


@pytest.fixture(scope="module")
def scorer(toy: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The toy with a score head."""
    folder = tmp_path_factory.mktemp("scorer")
    torch.manual_seed(5)
    model = AutoModelForSequenceClassification.from_pretrained(toy, num_labels=1)
    model.save_pretrained(folder)
    load_tokenizer(toy).save_pretrained(folder)
    return folder


def test_the_score_is_the_models_at_the_last_token(toy: Path, scorer: Path) -> None:
    """Padding beside a longer completion changes nothing."""
    short, long = rollout_of(0.0, (5, 6)), rollout_of(0.0, (7, 8, 9, 4))
    found = RewardModelScores(scorer, load_tokenizer(toy)).score([short, long])
    model = AutoModelForSequenceClassification.from_pretrained(scorer, num_labels=1).eval()
    with torch.no_grad():
        alone = model(input_ids=torch.tensor([[1, 2, 3, 5, 6]])).logits
    assert float(alone) == pytest.approx(found[0], abs=1e-5)
    assert found[0] != found[1]


def test_it_joins_the_other_rewards_with_its_weight(toy: Path, scorer: Path) -> None:
    """A rollout whose judgement failed stays without a reward."""
    scores = RewardModelScores(scorer, load_tokenizer(toy))
    recipe = GrpoRecipe.model_validate(
        {
            **{"stage": "grpo", "run": "r", "model": toy, "prompts": ["p"]},
            "rewards": {"judge": 1.0, "model": {"folder": scorer, "weight": 2.0}},
        }
    )
    judged = replace(rollout_of(0.5), parts={"judge": 0.5})
    failed = replace(rollout_of(None), parts={"judge": None})
    first, second = scores.added([judged, failed], recipe)
    (alone,) = scores.score([judged])
    assert first.result.reward == pytest.approx(0.5 + 2 * alone)
    assert second == failed


def test_a_model_with_other_tokens_is_refused(toy: Path, tmp_path: Path) -> None:
    """It would read other words than those written."""
    demo_model.build(DemoModel(vocabulary=300, hidden=64, layers=1), ["甲乙丙" * 9], tmp_path, 1)
    with pytest.raises(RecipeError, match="tokenizer is not the policy's"):
        RewardModelScores(tmp_path, load_tokenizer(toy))
