"""Who goes first, who waits, pauses, and what happens when the model breaks. With a fake model."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from typing import Any, cast

import pytest
import torch
from torch import Tensor

from galen.errors import Unavailable
from server.simple.engine import Engine
from server.simple.model import Model
from server.simple.protocol import CompletionRequest
from server.simple.sequence import Sequence
from server.simple.tokenizer import Tokenizer

MOST = 4


class FakeModel:
    """Takes a step each time that it is let; writes the token 1."""

    most, end_ids = 100, frozenset[int]()

    def __init__(self) -> None:
        self.begun, self.steps = threading.Semaphore(0), threading.Semaphore(0)

    def decode(self, ids: list[int]) -> str:
        return "a" * len(ids)

    def logits(self, ids_BT: list[list[int]], *_: Any, keep: int = 1) -> Tensor:
        self.begun.release()
        self.steps.acquire()
        return torch.tensor([0.0, 9.0]).expand(len(ids_BT), 1, 2)

    def let(self, steps: int) -> None:
        self.steps.release(steps)


class BrokenModel(FakeModel):
    def logits(self, *_: Any, **__: Any) -> Tensor:
        raise RuntimeError("out of memory")


class Setup:
    def __init__(self, model: FakeModel) -> None:
        self.model, self.engine = model, Engine(cast(Model, model), MOST)
        self.order: list[str] = []
        self.running = asyncio.create_task(self.engine.run())

    def ask(self, name: str, *, tokens: int = 1, priority: int = 0) -> asyncio.Task[None]:
        request = {"prompt": [1], "max_tokens": tokens, "priority": priority}
        prompt = CompletionRequest.model_validate(request)
        its = Sequence(prompt, [1], cast(Tokenizer, self.model))

        async def write() -> None:
            async for _ in self.engine.generate([its]):
                self.order.append(name)

        return asyncio.create_task(write())

    async def begun(self) -> None:
        """Returns once the model is at work."""
        await asyncio.to_thread(self.model.begun.acquire)

    def counted(self, name: str) -> int:
        return self.engine.metrics()[f"vllm:{name}"]


@pytest.fixture
async def setup() -> AsyncIterator[Setup]:
    setup = Setup(FakeModel())
    yield setup
    setup.model.let(10_000)
    setup.running.cancel()
    await asyncio.wait([setup.running])


async def test_running_sequences_are_written_in_turns(setup: Setup) -> None:
    """Nobody waits for another's answer to be whole."""
    setup.model.let(100)
    await asyncio.gather(setup.ask("one", tokens=3), setup.ask("two", tokens=3))
    assert setup.order == ["one", "two"] * 3


async def test_the_lower_priority_number_goes_first_then_who_came_first(setup: Setup) -> None:
    """People go before rollouts, and nobody is overtaken by an equal."""
    await setup.engine.pause()
    crowd = [setup.ask(f"rollout{i}", priority=10) for i in range(MOST)]
    people = [setup.ask("first"), setup.ask("second")]
    await asyncio.sleep(0)
    assert setup.counted("num_requests_waiting") == MOST + 2
    setup.engine.resume()
    setup.model.let(100)
    await asyncio.gather(*crowd, *people)
    assert setup.order == ["first", "second", *(f"rollout{i}" for i in range(MOST))]


async def test_no_more_are_written_at_once_than_may(setup: Setup) -> None:
    """Each has a cache; the others wait, and the metrics say so."""
    crowd = [setup.ask(f"{i}", tokens=2) for i in range(MOST + 3)]
    await setup.begun()
    assert setup.counted("num_requests_running") == MOST
    assert setup.counted("num_requests_waiting") == 3
    setup.model.let(100)
    await asyncio.gather(*crowd)
    names = ("generation_tokens_total", "prompt_tokens_total", "num_requests_running")
    assert [setup.counted(name) for name in names] == [2 * (MOST + 3), MOST + 3, 0]


async def test_a_cancelled_sequence_is_written_no_more(setup: Setup) -> None:
    """Whether it is being written or waits; the others go on."""
    gone, stays = setup.ask("gone", tokens=50), setup.ask("stays", tokens=3)
    crowd = [setup.ask(f"{i}", tokens=2) for i in range(MOST - 2)]
    waits = setup.ask("waits", priority=1)
    await setup.begun()
    gone.cancel()
    waits.cancel()
    await asyncio.wait([gone, waits])
    setup.model.let(100)
    await asyncio.gather(stays, *crowd)
    assert not {"gone", "waits"} & set(setup.order)
    assert setup.counted("num_requests_waiting") == setup.counted("num_requests_running") == 0


async def test_a_pause_ends_what_there_is_and_keeps_back_what_comes(setup: Setup) -> None:
    """It is over when the model is at rest; what came meanwhile is begun when it ends."""
    early = [setup.ask(f"{i}", tokens=50) for i in range(MOST + 1)]
    await setup.begun()
    pausing = asyncio.create_task(setup.engine.pause())
    await asyncio.sleep(0)
    later = setup.ask("later")
    results = await asyncio.gather(*early, return_exceptions=True)
    assert {type(result) for result in results} == {Unavailable}
    assert not pausing.done()
    setup.model.let(100)
    await pausing
    assert (setup.counted("num_requests_running"), setup.order, later.done()) == (0, [], False)
    setup.engine.resume()
    await later


async def test_a_call_runs_between_steps_and_its_errors_are_the_callers(setup: Setup) -> None:
    """A reload that is refused does not end the engine."""

    def refuse(reason: str) -> None:
        raise Unavailable(reason)

    with pytest.raises(Unavailable, match="not now"):
        await setup.engine.call(refuse, "not now")
    assert await setup.engine.call(threading.current_thread) is not threading.current_thread()


async def test_when_the_model_breaks_everyone_is_told_and_so_is_the_process() -> None:
    """Nobody waits for what will not come, and the process can end."""
    setup, ended = Setup(BrokenModel()), asyncio.Event()
    setup.engine.on_end = ended.set
    crowd = [setup.ask(f"{i}") for i in range(MOST + 1)]
    results = await asyncio.gather(*crowd, return_exceptions=True)
    assert {type(result) for result in results} == {Unavailable}
    await ended.wait()
    with pytest.raises(RuntimeError, match="out of memory"):
        await setup.running
