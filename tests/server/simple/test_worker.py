"""Turns: who goes first, who waits, and what happens between them. With a scripted model."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, cast

import pytest
from torch import Tensor

from galen.errors import GalenError, Unavailable
from server.simple.generate import Piece, Plan, Writer
from server.simple.metrics import EngineMetrics
from server.simple.model import PolicyModel
from server.simple.sampling import Sampling
from server.simple.worker import MOST_RUNNING, Worker
from tests.fakes.scripted_model import ScriptedModel, decode, encode

A = encode("a")


@dataclass
class HeldModel(ScriptedModel):
    """Takes a turn each time that it is let."""

    turns: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))

    def logits(self, ids: Sequence[int], cache: Any, adapter: str | None, *, every: bool) -> Tensor:
        self.turns.acquire()
        return super().logits(ids, cache, adapter, every=every)

    def let(self, turns: int) -> None:
        self.turns.release(turns)


class Setup:
    def __init__(self, model: ScriptedModel) -> None:
        self.model = model
        self.metrics = EngineMetrics()
        self.worker = Worker(cast(PolicyModel, model), self.metrics)
        self.said: list[tuple[str, Piece | GalenError]] = []
        self.ends: dict[str, threading.Event] = {}

    def writer(self, name: str, *, tokens: int = 1, priority: int = 0) -> Writer:
        plan = Plan(tuple(A), tokens, decode, Sampling(temperature=0.0), priority=priority)
        ended = self.ends[name] = threading.Event()

        def deliver(piece: Piece | GalenError) -> None:
            self.said.append((name, piece))
            if isinstance(piece, GalenError) or piece.finish_reason:
                ended.set()

        return Writer(0, plan, deliver)

    def all_ended(self) -> None:
        for name, ended in self.ends.items():
            assert ended.wait(20), name

    @property
    def order(self) -> list[str]:
        return [name for name, _ in self.said]

    def counted(self, name: str) -> float:
        lines = self.metrics.text().splitlines()
        return next(float(line.split()[1]) for line in lines if line.startswith(name + " "))


@pytest.fixture
def setup() -> Iterator[Setup]:
    setup = Setup(ScriptedModel(A, prompt=1))
    yield setup
    if setup.worker.is_alive:
        setup.worker.stop()


@pytest.fixture
def held() -> Iterator[Setup]:
    setup = Setup(HeldModel(A, prompt=1))
    yield setup
    assert isinstance(setup.model, HeldModel)
    setup.model.let(10_000)
    setup.worker.stop()


def test_running_sequences_take_turns_token_by_token(setup: Setup) -> None:
    """Nobody waits for another's answer to be whole."""
    setup.worker.submit([setup.writer("one", tokens=3), setup.writer("two", tokens=3)])
    setup.worker.start(lambda: None)
    setup.all_ended()
    assert setup.order == ["one", "two"] * 3


def test_the_lower_priority_number_goes_first_then_who_came_first(setup: Setup) -> None:
    """People go before rollouts, and nobody is overtaken by an equal."""
    crowd = [setup.writer(f"rollout{i}", priority=10) for i in range(MOST_RUNNING)]
    setup.worker.submit([*crowd, setup.writer("first"), setup.writer("second")])
    setup.worker.start(lambda: None)
    setup.all_ended()
    assert setup.order[:2] == ["first", "second"]
    assert setup.order[2:] == [f"rollout{i}" for i in range(MOST_RUNNING)]


def test_a_sequence_that_cannot_go_on_ends_alone(setup: Setup) -> None:
    """The others are written to their end, and the worker lives on."""
    stuck = setup.writer("stuck", tokens=3)
    limits = {"sampling": Sampling(allowed=(1,)), "end_ids": frozenset({1}), "min_tokens": 1}
    stuck.plan = replace(stuck.plan, **limits)
    setup.worker.submit([stuck, setup.writer("fine", tokens=3)])
    setup.worker.start(lambda: None)
    setup.all_ended()
    assert setup.order == ["stuck", *["fine"] * 3]
    assert isinstance(setup.said[0][1], GalenError)
    assert setup.worker.is_alive


def test_no_more_run_than_may_and_the_metrics_say_so(held: Setup) -> None:
    """Each running one holds a cache; the others wait."""
    crowd = [held.writer(f"{i}") for i in range(MOST_RUNNING + 3)]
    held.worker.submit(crowd)
    assert held.counted("vllm:num_requests_waiting") == MOST_RUNNING + 3
    held.worker.start(lambda: None)
    assert isinstance(held.model, HeldModel)
    held.model.let(1)
    assert held.ends["0"].wait(20)
    assert held.counted("vllm:num_requests_running") == MOST_RUNNING - 1
    assert held.counted("vllm:num_requests_waiting") == 3
    held.model.let(100)
    held.all_ended()
    assert held.counted("vllm:generation_tokens_total") == MOST_RUNNING + 3
    assert held.counted("vllm:prompt_tokens_total") == MOST_RUNNING + 3
    assert held.counted("vllm:time_to_first_token_seconds_count") == MOST_RUNNING + 3


async def test_a_cancelled_sequence_takes_no_more_turns(held: Setup) -> None:
    """Whether it runs or waits; the others go on."""
    assert isinstance(held.model, HeldModel)
    gone, waits = held.writer("gone", tokens=50), held.writer("waits", priority=1)
    stays = held.writer("stays", tokens=3)
    crowd = [held.writer(f"{i}", tokens=2) for i in range(MOST_RUNNING - 2)]
    held.worker.submit([gone, stays, *crowd, waits])
    held.worker.start(lambda: None)
    held.model.let(MOST_RUNNING)
    await held.worker.call(lambda model: None)
    held.worker.cancel([gone, waits])
    held.model.let(100)
    for name in ("stays", *(f"{i}" for i in range(MOST_RUNNING - 2))):
        assert held.ends[name].wait(20)
    await held.worker.call(lambda model: None)
    assert held.order.count("gone") <= 2
    assert "waits" not in held.order
    assert held.counted("vllm:num_requests_running") == 0


async def test_a_pause_finishes_what_is_in_hand_and_keeps_the_rest_back(held: Setup) -> None:
    """Also those that wait are in hand; what comes later is begun after the pause."""
    assert isinstance(held.model, HeldModel)
    held.worker.submit([held.writer(f"{i}", tokens=2) for i in range(MOST_RUNNING + 1)])
    held.worker.start(lambda: None)
    pausing = asyncio.create_task(held.worker.pause())
    await asyncio.sleep(0)
    held.worker.submit([held.writer("later")])
    assert not pausing.done()
    held.model.let(2 * (MOST_RUNNING + 1))
    await pausing
    assert held.order.count("later") == 0
    assert len(held.said) == 2 * (MOST_RUNNING + 1)
    held.model.let(1)
    held.worker.resume()
    assert held.ends["later"].wait(20)


async def test_a_call_runs_between_turns_and_its_errors_are_the_callers(setup: Setup) -> None:
    """A reload that is refused does not end the engine."""
    setup.worker.start(lambda: None)

    def refuse(model: Any) -> None:
        raise Unavailable("not now")

    with pytest.raises(Unavailable):
        await setup.worker.call(refuse)
    assert await setup.worker.call(lambda model: model is setup.model)


async def test_a_caller_that_goes_away_harms_nobody(held: Setup) -> None:
    """Its pause and its call are forgotten."""
    assert isinstance(held.model, HeldModel)
    held.worker.submit([held.writer("one", tokens=2)])
    held.worker.start(lambda: None)
    waiting = [
        asyncio.create_task(held.worker.pause()),
        asyncio.create_task(held.worker.call(lambda model: None)),
    ]
    await asyncio.sleep(0)
    for task in waiting:
        task.cancel()
    await asyncio.wait(waiting)
    held.worker.resume()
    held.model.let(100)
    await held.worker.call(lambda model: None)
    assert held.worker.is_alive


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_when_the_model_breaks_everyone_is_told_and_so_is_the_process() -> None:
    """Nobody waits for what will not come; the process can end and be started again."""

    class Broken(ScriptedModel):
        def new_cache(self) -> list[int]:
            raise RuntimeError("out of memory")

    setup = Setup(Broken(A, prompt=1))
    over = threading.Event()
    setup.worker.submit([setup.writer(f"{i}") for i in range(MOST_RUNNING + 1)])
    setup.worker.start(over.set)
    setup.all_ended()
    assert over.wait(20)
    setup.worker.stop()
    assert not setup.worker.is_alive
    assert all(isinstance(piece, Unavailable) for _, piece in setup.said)
    assert len(setup.said) == MOST_RUNNING + 1


def test_what_comes_after_the_end_is_told_too() -> None:
    """A request may arrive while the process goes down."""
    setup = Setup(ScriptedModel(A, prompt=1))
    setup.worker.start(lambda: None)
    setup.worker.stop()
    setup.worker.submit([setup.writer("late")])
    setup.all_ended()
    assert isinstance(setup.said[0][1], Unavailable)
