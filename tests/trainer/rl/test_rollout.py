"""Laws of drawing completions and of waiting for their judgements."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from galen.errors import TrainingStopped, Unavailable, UpstreamFailed
from judge.client import JudgeClient
from server.client import PolicyClient
from server.schemas import Sampling
from tests.fakes.loop_services import LoopJudge, LoopPolicyServer
from tests.fakes.rollouts import row_of, verdict
from tests.fakes.services import Refusal
from trainer.patience import TRIES
from trainer.rl.rewards import Scorer
from trainer.rl.rollout import Collector, Question, Rollout

QUESTIONS = [Question(row_of(f"q{i}"), (1, 2, i)) for i in range(4)]


@pytest.fixture
def server() -> Iterator[LoopPolicyServer]:
    with LoopPolicyServer("0" * 64) as server:
        yield server


@pytest.fixture
def judge() -> Iterator[LoopJudge]:
    with LoopJudge() as judge:
        yield judge


@asynccontextmanager
async def collector(server: LoopPolicyServer, judge: LoopJudge) -> AsyncIterator[Collector]:
    async with PolicyClient(server.url) as policy, JudgeClient(judge.url) as client:
        rewards = Scorer(client, "medical-safety", "run", allow_mock=False)
        yield Collector(policy, rewards, Sampling(max_tokens=8), 2, retry_every_s=0.0)


async def collected(services: Collector) -> list[Rollout]:
    return await services.collect(
        QUESTIONS, newest=lambda: ("base", 0), step=3, seed=40, label="run-1"
    )


async def test_rollouts_come_in_order_each_with_a_seed_of_its_own(
    server: LoopPolicyServer, judge: LoopJudge
) -> None:
    """Sample i answers question i under seed + i, by token ids."""
    async with collector(server, judge) as services:
        rollouts = await collected(services)
    assert [r.question for r in rollouts] == QUESTIONS
    asked = server.asked("POST", "/v1/completions")
    assert {(tuple(b["prompt"]), b["seed"]) for b in asked} == {
        ((1, 2, i), 40 + i) for i in range(4)
    }
    assert [r.result.reward for r in rollouts] == [0.5] * 4


async def test_a_samples_generation_and_judgements_share_a_request_id(
    server: LoopPolicyServer, judge: LoopJudge
) -> None:
    """It is the sample's own name, the second judgement's too, so both logs tell its story."""
    judge.enqueue("0002", verdict(None))
    async with collector(server, judge) as services:
        drawn = await collected(services)
        await services.until_quorum(drawn, step=3, quorum=1.0, patience_s=5.0)

    def ids(service: LoopPolicyServer | LoopJudge) -> list[str]:
        return sorted(r.headers["X-Request-Id"] for r in service.requests)

    assert ids(server) == [f"run-1-{i:04d}" for i in range(4)]
    judged = {r.body["items"][0]["id"]: r.headers["X-Request-Id"] for r in judge.requests}
    assert len(judge.requests) == 5
    assert judged == {name: name for name in ids(server)}
    assert set(ids(judge)) == set(ids(server))


async def test_below_quorum_only_what_failed_is_asked_for_again(
    server: LoopPolicyServer, judge: LoopJudge
) -> None:
    """Completions and rewards that are there stay; the rest is asked for until there are enough."""
    judge.enqueue("0001", verdict(None), verdict(None), verdict(0.9))
    judge.enqueue("0003", Refusal(503, "away"), Refusal(503, "away"), verdict(-0.4))
    async with collector(server, judge) as services:
        first = await collected(services)
        assert [r.result.reward for r in first] == [0.5, None, 0.5, None]
        judged = await services.until_quorum(first, step=3, quorum=1.0, patience_s=60.0)
    assert [r.result.reward for r in judged] == [0.5, 0.9, 0.5, -0.4]
    assert [judge.asked_for(f"000{i}") for i in range(4)] == [1, 3, 1, 3]
    assert len(server.asked("POST", "/v1/completions")) == 4


async def test_at_the_quorum_a_failure_is_left_as_it_is(
    server: LoopPolicyServer, judge: LoopJudge
) -> None:
    """Enough is enough: no more is asked, and the failure still has no reward."""
    judge.enqueue("0002", verdict(None))
    async with collector(server, judge) as services:
        first = await collected(services)
        judged = await services.until_quorum(first, step=3, quorum=0.75, patience_s=60.0)
    assert [r.result.reward for r in judged] == [0.5, 0.5, None, 0.5]
    assert judge.asked_for("0002") == 1


async def test_past_its_patience_the_run_stops(server: LoopPolicyServer, judge: LoopJudge) -> None:
    """It says how many failed, of what, and how to go on."""
    for i in range(3):
        judge.enqueue(f"000{i}", verdict(None))
    async with collector(server, judge) as services:
        first = await collected(services)
        with pytest.raises(TrainingStopped, match=r"3 of 4 .*unavailable.*same command"):
            await services.until_quorum(first, step=3, quorum=0.5, patience_s=0.0)


async def test_what_waiting_cannot_mend_stops_at_once(
    server: LoopPolicyServer, judge: LoopJudge
) -> None:
    """No failure is retryable, so nothing is asked for again however long the patience."""
    for i in range(4):
        judge.enqueue(f"000{i}", verdict(None, retryable=False))
    async with collector(server, judge) as services:
        first = await collected(services)
        with pytest.raises(TrainingStopped, match="no judgement can succeed"):
            await services.until_quorum(first, step=3, quorum=0.5, patience_s=600.0)
    assert len(judge.asked("POST", "/v1/score")) == 4


async def test_a_server_that_asks_to_come_back_is_asked_again(
    server: LoopPolicyServer, judge: LoopJudge
) -> None:
    """While its engine restarts a server answers 503 with Retry-After; no completion is lost."""
    server.busy.extend([{"Retry-After": "0"}] * 3)
    async with collector(server, judge) as services:
        rollouts = await collected(services)
    assert len(QUESTIONS) == len(rollouts)
    assert len(QUESTIONS) + 3 == len(server.asked("POST", "/v1/completions"))


async def test_a_sample_that_the_engine_cannot_answer_has_failed(
    server: LoopPolicyServer, judge: LoopJudge
) -> None:
    """It is asked three times and never judged; the others go on."""
    server.spoilt.add(41)
    async with collector(server, judge) as services:
        rollouts = await collected(services)
        again = await services.until_quorum(rollouts, step=3, quorum=0.75, patience_s=5.0)
    assert [r.result.reward for r in again] == [0.5, None, 0.5, 0.5]
    assert len(server.asked("POST", "/v1/completions")) == 3 + TRIES
    assert len(judge.asked("POST", "/v1/score")) == 3


async def test_without_rewards_the_teachers_grade_is_what_is_shown(
    server: LoopPolicyServer, judge: LoopJudge
) -> None:
    """Mean log-probability by the teacher minus the policy's, in nats; a teacher that fails on an
    answer leaves it without one."""

    async def grade(prompt: Sequence[int], written: Sequence[int]) -> list[float]:
        if prompt[-1] == 2:
            raise UpstreamFailed("no `prompt_logprobs`")
        return [-4.0] * len(written)

    async with collector(server, judge) as services:
        unrewarded = replace(services.rewards, judge=0.0)
        rollouts = await collected(replace(services, rewards=unrewarded, grade=grade))
    assert [r.result.reward for r in rollouts] == [1.5, 1.5, None, 1.5]


async def test_a_server_that_names_no_time_to_come_back_ends_the_batch(
    server: LoopPolicyServer, judge: LoopJudge
) -> None:
    """A 503 without Retry-After is no promise, and waiting for it would hide a fault."""
    server.busy.extend([{}] * 4)
    async with collector(server, judge) as services:
        with pytest.raises(Unavailable):
            await collected(services)
