"""Laws of rollouts from the two services."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch

from galen import digest
from galen.errors import TrainingStopped
from tests.fakes.loop_services import LoopJudge, LoopPolicyServer
from tests.fakes.rollouts import row_of, verdict
from tests.fakes.rows import write_jsonl
from trainer.model import load_tokenizer
from trainer.recipes import PpoRecipe, Services
from trainer.rl import batch as batches
from trainer.rl.actor_critic import ActorCritic
from trainer.rl.algorithms.ppo import Ppo
from trainer.rl.source import ServiceRollouts, load_questions, prompts_of_batch
from trainer.runs import Run


@dataclass
class Loop:
    """A toy policy before both fake services."""

    recipe: PpoRecipe
    server: LoopPolicyServer
    judge: LoopJudge
    model: ActorCritic
    source: ServiceRollouts


@pytest.fixture
def loop(toy: Path, tmp_path: Path) -> Iterator[Loop]:
    prompts = tmp_path / "prompts.jsonl"
    write_jsonl(prompts, [row_of(f"q{i}", f"头痛第{i}天怎么办？") for i in range(3)])
    with LoopPolicyServer(digest.of_folder(toy)) as server, LoopJudge() as judge:
        recipe = PpoRecipe(
            stage="ppo",
            run="r",
            runs=tmp_path,
            model=toy,
            prompts=(prompts,),
            lora=None,
            publish="merged",
            services=Services(server=server.url, judge=judge.url, concurrency=1),
            batch_size=4,
            mini_batch_size=2,
            patience_s=0.0,
        )
        run = Run(recipe)
        run.folder.mkdir()
        torch.manual_seed(0)
        model = ActorCritic(recipe).eval()
        tokenizer = load_tokenizer(toy)
        questions = load_questions(recipe.prompts, tokenizer, use_instruction=True)
        source = ServiceRollouts(recipe, run, tokenizer, questions)
        source.prepare(model.policy)
        yield Loop(recipe, server, judge, model, source)


def test_a_failed_judgement_leaves_batch_baseline_and_loss(loop: Loop) -> None:
    """Advantages are those of a batch in which the failed completion never was."""
    loop.judge.enqueue("0001", verdict(None))
    loop.judge.enqueue("0002", verdict(0.9))
    rollouts, facts = loop.source.draw(loop.model.policy, 0, 0)
    assert [r.result.reward for r in rollouts] == [0.5, 0.9, 0.5]
    assert (facts["failed"], facts["expected"]) == (1, 4)
    assert facts["reward_mean"] == pytest.approx(1.9 / 3)
    built = batches.build(rollouts, loop.model, loop.recipe, Ppo(loop.recipe), pad=0)
    real = built.fixed.advantages_BC[built.sequences.mask_BC.bool()]
    assert len(real) == 3 * 3
    assert float(real.mean()) == pytest.approx(0.0, abs=1e-5)
    steps = list(batches.mini_batches(len(rollouts), loop.recipe, torch.Generator()))
    assert len(steps) == loop.recipe.steps_per_batch


def test_below_quorum_the_run_stops(loop: Loop) -> None:
    """No step is taken on a batch that was mostly not judged."""
    for i in range(3):
        loop.judge.enqueue(f"000{i}", verdict(None))
    with pytest.raises(TrainingStopped, match="3 of 4"):
        loop.source.draw(loop.model.policy, 0, 0)


def test_completions_by_another_version_are_dropped_and_counted(loop: Loop) -> None:
    """Only what the published policy wrote may train it."""
    loop.server.written_by.extend(["other", "base", "other", "base"])
    rollouts, facts = loop.source.draw(loop.model.policy, 0, 0)
    assert [r.id[-4:] for r in rollouts] == ["0001", "0003"]
    assert (facts["foreign"], facts["judged"], facts["expected"]) == (2, 2, 4)


def test_a_batch_without_one_fresh_completion_stops_the_run(loop: Loop) -> None:
    """Somebody else moves the server's policy; the message says so."""
    loop.server.written_by.extend(["other"] * 4)
    with pytest.raises(TrainingStopped, match="something else changes the server's policy"):
        loop.source.draw(loop.model.policy, 0, 0)


def test_before_the_first_step_the_base_serves_and_then_each_update(loop: Loop) -> None:
    """Step 0 activates the base; every later batch publishes the weights as they are then."""
    loop.server.current = "left-over"
    _, facts = loop.source.draw(loop.model.policy, 0, 0)
    assert (facts["version"], loop.server.current) == ("base", "base")
    _, facts = loop.source.draw(loop.model.policy, 1, 8)
    assert facts["version"] == loop.server.current
    assert loop.server.current.startswith("r-0001-")
    card = loop.server.cards[loop.server.current]
    assert (card["run"], card["step"], card["parent"]) == ("r", 8, "base")


def test_each_batch_has_prompts_and_seeds_of_its_own(loop: Loop) -> None:
    """No sample of a run is drawn with the seed of another."""
    for number in range(2):
        loop.source.draw(loop.model.policy, number, 0)
    bodies = loop.server.asked("POST", "/v1/completions")
    assert sorted(body["seed"] for body in bodies) == list(range(17, 25))
    assert {body["temperature"] for body in bodies} == {loop.recipe.temperature}


def test_every_pass_holds_every_prompt_once_and_repeats_after_a_resume(loop: Loop) -> None:
    """Batches cut a fresh shuffle of all prompts, the same for the same seed."""
    questions = load_questions(loop.recipe.prompts, load_tokenizer(loop.recipe.model), True)
    drawn = [q for n in range(3) for q in prompts_of_batch(questions, 4, n, seed=5)]
    for lap in range(4):
        assert {q.row.id for q in drawn[3 * lap : 3 * lap + 3]} == {"q0", "q1", "q2"}
    assert drawn[4:8] == prompts_of_batch(questions, 4, 1, seed=5)
