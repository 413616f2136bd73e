"""Laws of rollouts from the two services."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from galen.errors import TrainingStopped
from galen.http import ServiceClient, unreachable
from tests.fakes.loop import Loop, source_of
from tests.fakes.rollouts import row_of, verdict
from tests.fakes.rows import write_jsonl
from trainer.model import load_tokenizer
from trainer.rl import batch as batches
from trainer.rl.algorithms.ppo import Ppo
from trainer.rl.rollouts.questions import load_questions, prompts_of_batch


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


def test_with_staleness_a_batch_is_drawn_while_the_one_before_it_trains(loop: Loop) -> None:
    """By the version before its own, never an older one; the figures say how old, and nothing is
    dropped for it."""
    recipe = loop.recipe.model_copy(update={"staleness": 1, "batches": 3})
    with source_of(recipe, loop.model) as source:
        found = [source.draw(loop.model.policy, n, n * recipe.steps_per_batch)[1] for n in range(3)]
    assert [facts["staleness"] for facts in found] == [0.0, 1.0, 1.0]
    assert [facts["version"][:6] for facts in found] == ["base", "base", "r-0001"]
    assert [(facts["judged"], facts["foreign"]) for facts in found] == [(4, 0)] * 3
    posts = [r.path for r in loop.server.requests if r.method == "POST"]
    assert posts[-1] == "/v1/completions"


def test_the_best_version_is_there_however_far_ahead_batches_are_drawn(loop: Loop) -> None:
    """A version is kept until every batch that it wrote has been learnt from."""
    fields = {"staleness": 2, "batches": 6, "keep_versions": 1}
    recipe = loop.recipe.model_copy(update=fields)
    for place in range(4):
        loop.judge.enqueue(f"00004-000{place}", verdict(0.9))
    with source_of(recipe, loop.model) as source:
        for n in range(4):
            source.draw(loop.model.policy, n, n * recipe.steps_per_batch)
            while n == 1 and len(loop.server.asked("POST", "/v1/completions")) < 4 * 4:
                pass  # batch 3 is written by the version that serves now
        best = source.best.now
    assert best is not None
    assert (best.batch, best.score) == (1, pytest.approx(0.9))
    assert best.version in loop.server.cards


def test_a_known_answer_that_is_not_judged_says_nothing_about_the_rewards(
    loop: Loop, tmp_path: Path
) -> None:
    """The run stops with the judge's reason, whichever kind of answer it was."""
    prompts = tmp_path / "known.jsonl"
    write_jsonl(prompts, [row_of(n).model_copy(update={"gold": n}) for n in ("七", "八")])
    recipe = loop.recipe.model_copy(update={"prompts": (prompts,)})
    for kind in ("right", "garbled"):
        loop.judge.enqueue(f"-{kind}", verdict(None))
        stops = pytest.raises(TrainingStopped, match=r"1 of 2 judgements .*\(unavailable\)")
        with source_of(recipe, loop.model) as source, stops:
            source.draw(loop.model.policy, 0, 0)


def test_held_out_questions_need_their_quorum_and_own_answers(loop: Loop) -> None:
    """What another version wrote is counted and not averaged; too few judged ones stop the run."""
    recipe = loop.recipe.model_copy(update={"held_out": loop.recipe.prompts, "quorum": 0.9})
    loop.server.written_by.append("other")
    with source_of(recipe, loop.model) as source:
        figures = source.look(0)
        assert (figures["held_out_judged"], figures["held_out_foreign"]) == (2, 1)
        loop.judge.enqueue("held-out-00005-0002", verdict(None))
        with pytest.raises(TrainingStopped, match="1 of 3 judgements failed"):
            source.look(5)


def test_a_judge_or_a_server_that_comes_back_costs_no_sample(
    loop: Loop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While nobody listens the batch waits; what is there then answers."""
    away = {"left": 2}
    send = ServiceClient._send

    async def gone(client: ServiceClient, method: str, path: str, *rest: Any) -> Any:
        if path in ("/v1/score", "/policy/versions", "/v1/completions") and away["left"]:
            away["left"] -= 1
            raise unreachable(client.base_url)
        return await send(client, method, path, *rest)

    async def at_once(_: float) -> None: ...

    monkeypatch.setattr(ServiceClient, "_send", gone)
    monkeypatch.setattr("trainer.patience.through_restarts.__defaults__", (180.0, at_once))
    for batch in range(2):
        away["left"] = 2
        _, facts = loop.source.draw(loop.model.policy, batch, 8 * batch)
        assert (facts["judged"], facts["failed"], away["left"]) == (4, 0, 0)
