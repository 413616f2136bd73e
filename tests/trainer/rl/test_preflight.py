"""Laws of what must hold before the first step."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from galen.errors import RecipeError, TrainingStopped
from judge.client import JudgeClient
from judge.rules.finance import is_right
from tests.fakes.loop_services import LoopJudge
from tests.fakes.rollouts import rollout_of, row_of, verdict
from trainer.model import load_tokenizer
from trainer.recipes import GrpoRecipe
from trainer.rl import preflight
from trainer.rl.actor_critic import ActorCritic
from trainer.rl.algorithms.grpo import Grpo
from trainer.rl.algorithms.streams import Fixed, Now
from trainer.rl.rewards import Scorer
from trainer.rl.rollout import Question, Rollout


@pytest.fixture
def judge() -> Iterator[LoopJudge]:
    with LoopJudge() as judge:
        yield judge


def recipe_of(model: Path) -> GrpoRecipe:
    fields = {"stage": "grpo", "run": "r", "model": model, "prompts": ["p"], "lora": None}
    limits = {"batch_size": 4, "mini_batch_size": 2, "max_new_tokens": 8, "publish": "merged"}
    return GrpoRecipe.model_validate({**fields, **limits})


QUESTIONS = [
    Question(row_of(f"q{n}").model_copy(update={"gold": f"答案{n}。"}), (1, 2, 3)) for n in range(2)
]


async def judged(judge: LoopJudge, toy: Path) -> dict[str, list[Rollout]]:
    async with JudgeClient(judge.url) as client:
        scorer = Scorer(client, "medical-safety", "run", allow_mock=False)
        return await preflight.known_answers(QUESTIONS, scorer, load_tokenizer(toy))


async def test_rewards_that_tell_right_from_wrong_pass(judge: LoopJudge, toy: Path) -> None:
    """The table has every kind of answer with its mean."""
    judge.enqueue("-right", verdict(0.9), verdict(0.7))
    table = preflight.require_difference(await judged(judge, toy), None, recipe_of(toy))
    assert "right                +0.800" in table
    for kind in ("another question's", "garbled", "empty"):
        assert f"{kind:<20} +0.500" in table


async def test_rewards_that_do_not_stop_the_run_with_the_table(judge: LoopJudge, toy: Path) -> None:
    """A judge that gives everything the same teaches nothing."""
    with pytest.raises(TrainingStopped, match=r"(?s)do not tell.*garbled +\+0\.500.*preflight"):
        preflight.require_difference(await judged(judge, toy), None, recipe_of(toy))


@pytest.mark.parametrize("gold", ["7", "A", "ABD", "是", "15%", "1200元"])
def test_a_garbled_answer_is_never_right(gold: str) -> None:
    """However short the answer is, the exact check refuses its garbled copy."""
    garbled = preflight.answers_of(gold, "B", 0)["garbled"].rpartition("</think>")[2]
    assert not is_right(garbled.strip(), gold)


def test_without_right_answers_there_is_nothing_to_compare(toy: Path) -> None:
    """Questions of the medical kind have none."""
    assert preflight.require_difference({}, None, recipe_of(toy)) == ""


def test_a_first_batch_without_spread_stops_the_run() -> None:
    """A few completions may be alike by chance. Where answers are compared with those to the same
    prompt, other prompts' rewards are no spread."""
    recipe = recipe_of(Path("m"))
    preflight.require_spread([rollout_of(0.5)] * 4, recipe)
    preflight.require_spread([rollout_of(0.5)] * 8 + [rollout_of(0.6)], recipe)
    with pytest.raises(TrainingStopped, match=r"all 8 .* have the reward \+0\.500"):
        preflight.require_spread([rollout_of(0.5)] * 8, recipe)
    flat = [rollout_of(0.1 * group, group=group) for group in range(4) for _ in range(2)]
    with pytest.raises(TrainingStopped, match="each of the first batch's 4 prompts"):
        preflight.require_spread(flat, recipe)
    preflight.require_spread([*flat, rollout_of(0.7, group=3)], recipe)


def test_the_longest_batch_is_computed_and_changes_nothing(
    toy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Out of memory is told before the run, with what to lower."""
    recipe = recipe_of(toy)
    model = ActorCritic(recipe)
    before = torch.cat([p.detach().flatten() for p in model.parameters()])
    preflight.require_room(model, recipe, Grpo(recipe), QUESTIONS, pad=0)
    assert torch.equal(before, torch.cat([p.detach().flatten() for p in model.parameters()]))
    assert all(p.grad is None for p in model.parameters())

    def full(*_: object) -> None:
        raise RuntimeError("DefaultCPUAllocator: not enough memory")

    monkeypatch.setattr(Grpo, "loss", full)
    with pytest.raises(RecipeError, match="2 completions of 11 tokens do not fit"):
        preflight.require_room(model, recipe, Grpo(recipe), QUESTIONS, pad=0)


@pytest.mark.parametrize(("micro", "rows"), [(1, 1), (None, 2), (8, 2)])
def test_a_part_of_two_processes_is_as_large_as_a_real_one(
    toy: Path, monkeypatch: pytest.MonkeyPatch, micro: int | None, rows: int
) -> None:
    """Each has its share of the mini-batch, at most `micro_batch_size` rows of it at once."""
    fields = {"mini_batch_size": 4, "micro_batch_size": micro, "max_new_tokens": 2, "beta": 0.0}
    recipe = recipe_of(toy).model_copy(update=fields)
    loss, seen = Grpo.loss, set[int]()

    def counted(self: Grpo, now: Now, fixed: Fixed) -> tuple[torch.Tensor, dict[str, float]]:
        seen.add(len(now.logprobs_BC))
        return loss(self, now, fixed)

    monkeypatch.setattr(Grpo, "loss", counted)
    monkeypatch.setenv("WORLD_SIZE", "2")
    preflight.require_room(ActorCritic(recipe), recipe, Grpo(recipe), QUESTIONS, pad=0)
    assert seen == {rows}
