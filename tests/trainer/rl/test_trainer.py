"""Laws of the loop of reinforcement learning, on a toy Qwen3 that draws its own rollouts."""

from __future__ import annotations

import math
from collections import deque
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from galen.errors import TrainingStopped
from tests.fakes.rollouts import ModelRollouts, QueuedRollouts, rollout_of
from trainer.model import load_policy
from trainer.recipes import Critic, GrpoRecipe, KlControl, Lora, PpoRecipe
from trainer.rl import stage
from trainer.rl.actor_critic import ActorCritic
from trainer.rl.algorithms.grpo import Grpo
from trainer.rl.algorithms.ppo import Ppo
from trainer.rl.trainer import RlTrainer, RolloutSource
from trainer.runs import Run

PROMPT = (1, 2, 3)


@pytest.fixture(scope="module")
def sharp(toy: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The toy with opinions: a fresh model holds every token for nearly alike, and sampling would
    hardly ever meet the one that is rewarded."""
    folder = tmp_path_factory.mktemp("sharp")
    policy = load_policy(toy)
    with torch.no_grad():
        policy.get_parameter("model.norm.weight").mul_(15)
    policy.save_pretrained(folder)  # type: ignore[operator]
    return folder


def recipe_of(model: Path, runs: Path, **changes: object) -> PpoRecipe:
    fields: dict[str, object] = {
        "stage": "ppo",
        "run": "toy",
        "runs": runs,
        "model": model,
        "prompts": [runs / "prompts.jsonl"],
        "lora": None,
        "publish": "merged",
        "critic": Critic(layers=1, learning_rate=1e-3),
        "kl": KlControl(coefficient=0.01),
        "learning_rate": 1e-3,
        "batches": 4,
        "batch_size": 8,
        "mini_batch_size": 4,
        "epochs": 2,
        "target_kl": 1.0,
        "save_every": 1,
    }
    return PpoRecipe.model_validate({**fields, **changes})


def trainer_of(
    recipe: PpoRecipe | GrpoRecipe, source: RolloutSource, *more: TrainerCallback
) -> RlTrainer:
    """The trainer as the stage makes it, from the same seed."""
    torch.manual_seed(recipe.seed)
    model = ActorCritic(recipe)
    return RlTrainer(
        model=model,
        args=stage.arguments(recipe, Run(recipe)),
        recipe=recipe,
        algorithm=Ppo(recipe) if isinstance(recipe, PpoRecipe) else Grpo(recipe),
        source=source,
        pad=0,
        callbacks=list(more),
    )


@torch.no_grad()
def next_probabilities(policy: nn.Module) -> Tensor:
    logits: Tensor = policy(input_ids=torch.tensor([PROMPT])).logits
    return logits[0, -1].softmax(-1)


def parameters(model: nn.Module) -> dict[str, Tensor]:
    return {name: p.detach().clone() for name, p in model.named_parameters()}


def assert_same(expected: dict[str, Tensor], actual: dict[str, Tensor]) -> None:
    assert expected.keys() == actual.keys()
    different = [name for name in expected if not torch.equal(expected[name], actual[name])]
    assert not different


def test_the_rewarded_token_becomes_likelier(sharp: Path, tmp_path: Path) -> None:
    """A few batches under a reward for one token raise its probability several times over."""
    before = next_probabilities(load_policy(sharp).eval())
    target = int(before.argsort(descending=True)[4])
    source = ModelRollouts(lambda ids: float(ids[0] == target), size=32, tokens=1)
    recipe = recipe_of(sharp, tmp_path, batches=8, batch_size=32, mini_batch_size=16)
    trainer = trainer_of(recipe, source)
    trainer.train()
    after = next_probabilities(trainer.actor_critic.policy.eval())
    assert float(after[target]) > min(0.9, 3 * float(before[target]))
    assert source.drawn == list(range(8))


def test_a_reward_for_nothing_in_particular_moves_no_token_far(sharp: Path, tmp_path: Path) -> None:
    """Without it the law above could hold by drift alone."""
    before = next_probabilities(load_policy(sharp).eval())
    target = int(before.argsort(descending=True)[4])
    source = ModelRollouts(lambda ids: 0.0, size=32, tokens=1)
    recipe = recipe_of(sharp, tmp_path, batches=2, batch_size=32, mini_batch_size=16)
    trainer = trainer_of(recipe, source)
    trainer.train()
    after = next_probabilities(trainer.actor_critic.policy.eval())
    assert float(after[target]) < 3 * float(before[target])


class Watch(TrainerCallback):
    """Keeps the parameters as they were after each optimizer step."""

    def __init__(self) -> None:
        self.after: list[dict[str, Tensor]] = []

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **facts: object
    ) -> None:
        model = facts["model"]
        assert isinstance(model, nn.Module)
        self.after.append(parameters(model))


def test_an_early_stop_leaves_every_parameter_for_the_rest_of_the_batch(
    sharp: Path, tmp_path: Path
) -> None:
    """Not one bit moves until the next batch is drawn, momentum or not; then training goes on."""
    watch = Watch()
    source = ModelRollouts(lambda ids: float(sum(ids) % 2), size=8)
    recipe = recipe_of(sharp, tmp_path, batches=2, epochs=4, target_kl=1e-7)
    trainer = trainer_of(recipe, source, watch)
    trainer.train()
    first, second = watch.after[:8], watch.after[8:]
    for batch in (first, second):
        stopped = [_equal(a, b) for a, b in pairwise(batch)]
        assert stopped[-1], "the batch was to be left early"
        assert stopped == sorted(stopped), "once stopped, a batch stays so"
    assert not _equal(first[-1], second[0])
    assert [entry["stopped_early"] for entry in trainer.state.log_history if "kl" in entry] == [
        1,
        1,
    ]


def _equal(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize("lora", [None, Lora(r=4, alpha=8, dropout=0.1)], ids=["full", "lora"])
def test_a_resumed_run_ends_where_one_never_stopped_does(
    sharp: Path, tmp_path: Path, lora: Lora | None
) -> None:
    """Parameters, optimizer, KL coefficient and random numbers all come back with a checkpoint."""

    def reward(ids: tuple[int, ...]) -> float:
        return math.sin(sum(ids))

    whole = recipe_of(sharp, tmp_path / "whole", lora=lora)
    straight = trainer_of(whole, ModelRollouts(reward, size=8))
    straight.train()
    halved = recipe_of(sharp, tmp_path / "halved", lora=lora, save_every=10)
    source = ModelRollouts(reward, size=8, stop_at={2})
    stopped = trainer_of(halved, source)
    with pytest.raises(TrainingStopped):
        stopped.train()
    stopped.save_checkpoint()
    checkpoint = Run(halved).last_checkpoint()
    assert checkpoint is not None
    resumed = trainer_of(halved, source)
    resumed.train(resume_from_checkpoint=str(checkpoint))
    assert source.drawn == [0, 1, 2, 3]
    assert_same(parameters(straight.actor_critic), parameters(resumed.actor_critic))
    coefficients = [
        [entry["kl_coefficient"] for entry in t.state.log_history if "kl" in entry]
        for t in (straight, resumed)
    ]
    assert len(coefficients[0]) == 4
    assert coefficients[0] == coefficients[1]


def test_failures_leave_the_schedule_as_it_is(sharp: Path, tmp_path: Path) -> None:
    """One judged row among many failures still makes a batch: the steps without rows do nothing."""
    recipe = recipe_of(sharp, tmp_path, batches=2)
    queue = deque([[rollout_of(1.0)], [rollout_of(0.5), rollout_of(-0.5), rollout_of(0.1)]])
    trainer = trainer_of(recipe, QueuedRollouts(queue))
    trainer.train()
    assert trainer.state.global_step == 2 * recipe.steps_per_batch
    assert all(bool(p.isfinite().all()) for p in trainer.actor_critic.parameters())


def test_output_head_and_embeddings_stay_as_they_are_when_merged_weights_are_published(
    sharp: Path, tmp_path: Path
) -> None:
    """An engine that swaps merged weights keeps its packed head, so training must not move it."""
    before = load_policy(sharp).get_parameter("model.embed_tokens.weight")
    trainer = trainer_of(
        recipe_of(sharp, tmp_path, batches=1), ModelRollouts(lambda ids: math.sin(ids[0]), size=8)
    )
    trainer.train()
    after = trainer.actor_critic.policy.get_parameter("model.embed_tokens.weight")
    assert torch.equal(before, after)


def test_adapters_train_without_dropout(sharp: Path, tmp_path: Path) -> None:
    """Old and new log-probabilities differ by the update alone, whatever the recipe's dropout."""
    recipe = recipe_of(sharp, tmp_path, lora=Lora(r=4, alpha=8, dropout=0.5))
    model = ActorCritic(recipe).train()
    rates = [m.p for m in model.modules() if isinstance(m, nn.Dropout)]
    assert rates
    assert {0.0} == set(rates)


def test_a_batch_whose_answers_earned_alike_moves_nothing(sharp: Path, tmp_path: Path) -> None:
    """Not even by the optimizer's momentum from the batch before, which had something to teach."""
    fields = {"beta": 0.0, "batch_size": 2, "generations": 2, "mini_batch_size": 2}
    shared = recipe_of(sharp, tmp_path, batches=2).model_dump(
        include={"run", "runs", "model", "prompts", "lora", "publish", "batches"}
    )
    recipe = GrpoRecipe.model_validate({"stage": "grpo", **shared, **fields})
    spread = [rollout_of(1.0, (5, 6)), rollout_of(0.0, (7, 8))]
    flat = [rollout_of(1.0, (5, 6)), rollout_of(1.0, (7, 8))]
    seen: list[dict[str, Tensor]] = []

    class Watcher(TrainerCallback):
        def on_step_end(self, *_: object, model: nn.Module, **__: object) -> None:
            seen.append(parameters(model))

    trainer_of(recipe, QueuedRollouts(deque([spread, flat])), Watcher()).train()
    assert_same(*seen)
