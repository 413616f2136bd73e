"""Laws of turning judged rollouts into tensors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from tests.fakes.rollouts import rollout_of
from trainer.recipes import Correction, GrpoRecipe, Lora, PpoRecipe, RlRecipe
from trainer.rl import batch
from trainer.rl.actor_critic import ActorCritic
from trainer.rl.algorithms.grpo import Grpo
from trainer.rl.algorithms.ppo import Ppo
from trainer.rl.batch import Batch
from trainer.rl.rollout import Rollout


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
        epochs=2,
    )


def built(rollouts: list[Rollout], recipe: PpoRecipe, model: ActorCritic | None = None) -> Batch:
    model = model or ActorCritic(recipe).eval()
    return batch.build(rollouts, model, recipe, Ppo(recipe), pad=0)


def test_whitening_is_over_the_rows_that_are_there(recipe: PpoRecipe) -> None:
    """Advantages have mean 0 and variance 1 over the real tokens of the judged rows alone."""
    found = built(
        [rollout_of(1.0, (5, 6)), rollout_of(-1.0, (7, 8, 9)), rollout_of(0.2, (4,))], recipe
    )
    real = found.fixed.advantages_BC[found.sequences.mask_BC.bool()]
    assert len(real) == 6
    assert float(real.mean()) == pytest.approx(0.0, abs=1e-5)
    assert float(real.var(unbiased=False)) == pytest.approx(1.0, abs=1e-3)


def test_an_untrained_policy_is_at_no_distance_from_its_reference(recipe: PpoRecipe) -> None:
    """Before the first update log π − log π_ref is 0, for full training and for LoRA alike."""
    for chosen in (recipe, recipe.model_copy(update={"lora": Lora(r=4)})):
        kl_B = built([rollout_of(1.0)], chosen).kl_B
        assert kl_B is not None
        assert kl_B.tolist() == [0.0]


def test_importance_weights_are_one_when_left_out(recipe: PpoRecipe) -> None:
    """With a correction they make up for the engine; without one each token counts as it is."""
    far = [rollout_of(1.0, (5, 6), logprobs=(-30.0, -0.01))]
    capped_BC = built(far, recipe).fixed.weights_BC
    assert isinstance(recipe.correction, Correction)
    assert float(capped_BC[0, 0]) == recipe.correction.high
    assert float(capped_BC[0, 1]) < 0.1
    plain = recipe.model_copy(update={"correction": None})
    assert built(far, plain).fixed.weights_BC.tolist() == [[1.0, 1.0]]


@pytest.mark.parametrize(("off", "computed"), [(1e-6, [0, 8]), (0.01, range(10))])
def test_the_engines_log_probabilities_are_taken_where_it_agrees(
    recipe: PpoRecipe, off: float, computed: Sequence[int]
) -> None:
    """One completion in eight is computed to compare them, and all of them where they differ."""
    model = ActorCritic(recipe).eval()
    asked = [(rollout_of(n / 10, (5 + n, *range(6, 8 + n % 3)))) for n in range(10)]
    trusting = recipe.model_copy(update={"old_logprobs": "trainer"})
    own_BC = built(asked, trusting, model).fixed.old_BC
    told = [_told(rollout, own_C + off) for rollout, own_C in zip(asked, own_BC, strict=True)]
    found = built(told, recipe, model)
    same = (found.fixed.old_BC - own_BC).abs().amax(dim=1) < off / 2
    assert same.nonzero().flatten().tolist() == list(computed)
    assert found.figures["computed_anew"] == len(computed) / 10


def _told(rollout: Rollout, logprobs_C: Tensor) -> Rollout:
    own = tuple(logprobs_C[: len(rollout.completion.token_ids)].tolist())
    return replace(rollout, completion=rollout.completion.model_copy(update={"logprobs": own}))


def test_a_mini_batch_is_no_wider_than_it_needs(recipe: PpoRecipe) -> None:
    """Padding for longer rows is left out, and every figure of the rows is what it was."""
    model = ActorCritic(recipe).eval()
    rollouts = [rollout_of(0.2, (4,)), rollout_of(1.0, (5, 6, 7, 8)), rollout_of(0.5, (9, 3))]
    whole = built(rollouts, recipe, model)
    (part,) = whole.parts(torch.tensor([2, 0]), None, recipe)
    assert part.sequences.mask_BC.tolist() == [[1.0, 1.0], [1.0, 0.0]]
    assert part.sequences.ids_BT.shape[1] == whole.sequences.ids_BT.shape[1] - 2
    now = model(part.sequences, recipe.temperature)
    assert torch.allclose(now.logprobs_BC, whole.fixed.old_BC[[2, 0], :2], atol=1e-5)
    assert whole.fixed.returns_BC is not None and part.fixed.returns_BC is not None
    assert part.fixed.returns_BC.tolist() == whole.fixed.returns_BC[[2, 0], :2].tolist()


def test_a_completion_that_was_cut_off_may_be_left_out_of_the_loss(recipe: PpoRecipe) -> None:
    """Its tokens then have no share, and the others share what is left."""
    masking = recipe.model_copy(update={"truncated": "mask"})
    rollouts = [rollout_of(1.0), rollout_of(0.0, finish_reason="length")]
    (part,) = built(rollouts, masking).parts(torch.tensor([0, 1]), None, masking)
    third = pytest.approx(1 / 3)
    assert part.fixed.share_BC.tolist() == [[third, third, third], [0.0, 0.0, 0.0]]


@pytest.mark.parametrize("rows", [1, 3, 4])
def test_every_row_is_seen_once_an_epoch_whatever_failed(recipe: PpoRecipe, rows: int) -> None:
    """The number of steps stays what the schedule counts on; the rows spread over them."""
    parts = list(batch.mini_batches(rows, recipe, torch.Generator().manual_seed(1)))
    assert len(parts) == recipe.steps_per_batch
    half = recipe.steps_per_batch // recipe.epochs
    for epoch in (parts[:half], parts[half:]):
        assert sorted(torch.cat(epoch).tolist()) == list(range(rows))


def test_answers_that_earned_alike_are_not_computed(recipe: PpoRecipe) -> None:
    """They still count in the mean, so that the others weigh what they weighed; with a KL in the
    loss all are computed."""
    fields = recipe.model_dump(include={"run", "runs", "model", "prompts", "lora", "publish"})
    plain = GrpoRecipe(stage="grpo", beta=0.0, generations=2, **fields)
    rollouts = [rollout_of(r, (5, 6), group=n // 2) for n, r in enumerate((1.0, 0.0, 0.3, 0.3))]
    for chosen, computed in ((plain, 2), (plain.model_copy(update={"beta": 0.1}), 4)):
        model = ActorCritic(chosen).eval()
        found = batch.build(rollouts, model, chosen, Grpo(chosen), pad=0)
        (part,) = found.parts(torch.arange(4), None, chosen)
        assert part.fixed.share_BC.tolist() == [[1 / 8, 1 / 8]] * computed
        assert found.parts(torch.tensor([2, 3]), None, plain) == [] or computed == 4


@pytest.mark.parametrize("over", ["tokens", "sequences", "constant"])
@pytest.mark.parametrize("stage", ["ppo", "grpo"])
def test_the_gradient_is_the_same_whatever_the_parts(
    recipe: PpoRecipe, stage: str, over: str
) -> None:
    """One row at a time or all at once: each token has its share of the whole mini-batch."""
    limits = {"over": over, "max_new_tokens": 4, "correction": None}
    chosen: RlRecipe = recipe.model_copy(update=limits)
    algorithm: Ppo | Grpo = Ppo(recipe)
    if stage == "grpo":
        fields = recipe.model_dump(include={"run", "runs", "model", "prompts", "lora", "publish"})
        chosen = GrpoRecipe(stage="grpo", **limits, **fields)
        algorithm = Grpo(chosen)
    torch.manual_seed(1)
    model = ActorCritic(chosen)
    rollouts = [
        rollout_of(reward, ids, group=n // 2)
        for n, (reward, ids) in enumerate(
            [(1.0, (5, 6)), (0.0, (7, 8, 9, 4)), (0.3, (4,)), (0.9, (3, 9, 9))]
        )
    ]
    whole = batch.build(rollouts, model, chosen, algorithm, pad=0)
    gradients = []
    for size in (None, 3, 1):
        model.zero_grad()
        for part in whole.parts(torch.arange(4), size, chosen):
            loss, _ = algorithm.loss(model(part.sequences, chosen.temperature), part.fixed)
            loss.backward()  # type: ignore[no-untyped-call]
        gradients.append(
            torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None])
        )
    assert float(gradients[0].abs().max()) > 1e-3
    for other in gradients[1:]:
        assert float((other - gradients[0]).abs().max()) < 1e-6
