"""Laws of turning judged rollouts into tensors."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tests.fakes.rollouts import rollout_of
from trainer.recipes import Lora, PpoRecipe
from trainer.rl import batch
from trainer.rl.actor_critic import ActorCritic


@pytest.fixture
def recipe(toy: Path, tmp_path: Path) -> PpoRecipe:
    return PpoRecipe(
        stage="ppo",
        run="r",
        runs=tmp_path,
        model=toy,
        prompts=(tmp_path / "prompts.jsonl",),
        lora=None,
        publish="merged",
        batch_size=4,
        mini_batch_size=2,
        ppo_epochs=2,
    )


def test_a_completion_that_did_not_end_pays_the_penalty() -> None:
    """Only `stop` is an end; a completion cut off by its length loses the whole penalty."""
    assert batch.score(rollout_of(0.5), 1.0) == 0.5
    assert batch.score(rollout_of(0.5, finish_reason="length"), 1.0) == -0.5


def test_a_failed_judgement_has_no_score() -> None:
    """Whoever asks for the score of a failed judgement has made a mistake."""
    with pytest.raises(AssertionError, match="never a score"):
        batch.score(rollout_of(None), 1.0)


def test_whitening_is_over_the_rows_that_are_there(recipe: PpoRecipe) -> None:
    """Advantages have mean 0 and variance 1 over the real tokens of the judged rows alone."""
    model = ActorCritic(recipe).eval()
    rollouts = [rollout_of(1.0, (5, 6)), rollout_of(-1.0, (7, 8, 9)), rollout_of(0.2, (4,))]
    built = batch.build(rollouts, model, recipe, kl_coefficient=0.1, pad=0)
    real = built.advantages_BC[built.sequences.mask_BC.bool()]
    assert len(real) == 6
    assert float(real.mean()) == pytest.approx(0.0, abs=1e-5)
    assert float(real.var(unbiased=False)) == pytest.approx(1.0, abs=1e-3)


def test_an_untrained_policy_is_at_no_distance_from_its_reference(recipe: PpoRecipe) -> None:
    """Before the first update log π − log π_ref is 0, for full training and for LoRA alike."""
    for chosen in (recipe, recipe.model_copy(update={"lora": Lora(r=4)})):
        model = ActorCritic(chosen).eval()
        built = batch.build([rollout_of(1.0)], model, chosen, kl_coefficient=0.1, pad=0)
        assert built.kl_B.tolist() == [0.0]


def test_importance_weights_are_one_when_left_out(recipe: PpoRecipe) -> None:
    """With a cap they correct for the engine; without one they leave every token as it is."""
    far = rollout_of(1.0, (5, 6), logprobs=(-30.0, -0.01))
    model = ActorCritic(recipe).eval()
    capped = batch.build([far], model, recipe, 0.1, pad=0)
    assert float(capped.weights_BC[0, 0]) == recipe.importance_cap
    assert float(capped.weights_BC[0, 1]) < 0.1
    plain = recipe.model_copy(update={"importance_cap": None})
    assert batch.build([far], model, plain, 0.1, pad=0).weights_BC.tolist() == [[1.0, 1.0]]


def test_a_mini_batch_is_no_wider_than_it_needs(recipe: PpoRecipe) -> None:
    """Padding for longer rows is left out, and every figure of the rows is what it was."""
    model = ActorCritic(recipe).eval()
    rollouts = [rollout_of(0.2, (4,)), rollout_of(1.0, (5, 6, 7, 8)), rollout_of(0.5, (9, 3))]
    whole = batch.build(rollouts, model, recipe, kl_coefficient=0.1, pad=0)
    part = whole.rows(torch.tensor([2, 0]))
    assert part.sequences.mask_BC.tolist() == [[1.0, 1.0], [1.0, 0.0]]
    assert part.sequences.ids_BT.shape[1] == whole.sequences.ids_BT.shape[1] - 2
    logprobs_BC, values_BC = model(part.sequences, recipe.temperature)
    assert torch.allclose(logprobs_BC, whole.old_logprobs_BC[[2, 0], :2], atol=1e-5)
    assert torch.allclose(values_BC, whole.old_values_BC[[2, 0], :2], atol=1e-5)
    assert part.returns_BC.tolist() == whole.returns_BC[[2, 0], :2].tolist()


@pytest.mark.parametrize("rows", [1, 3, 4])
def test_every_row_is_seen_once_an_epoch_whatever_failed(recipe: PpoRecipe, rows: int) -> None:
    """The number of steps stays what the schedule counts on; the rows spread over them."""
    parts = list(batch.mini_batches(rows, recipe, torch.Generator().manual_seed(1)))
    assert len(parts) == recipe.steps_per_batch
    half = recipe.steps_per_batch // recipe.ppo_epochs
    for epoch in (parts[:half], parts[half:]):
        assert sorted(torch.cat(epoch).tolist()) == list(range(rows))
