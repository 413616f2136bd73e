"""Requests that a pause does not wait for, against a fake engine that has preempted them.

They have begun, so no gate holds for them; only the engine knows that it is not done with them.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest

from server.settings import AdapterSettings
from tests.fakes.engine import Hold, PreemptedStream, write_version
from tests.server.harness import Launcher, Running

LOAD_ADAPTER = "/v1/load_lora_adapter"


@dataclass
class Reading:
    """A stream of which the first event is read."""

    pieces: AsyncIterator[bytes]

    async def rest(self) -> bytes:
        return b"".join([piece async for piece in self.pieces])


@contextlib.asynccontextmanager
async def begun(running: Running, preempted: PreemptedStream) -> AsyncIterator[Reading]:
    running.engine.enqueue("/v1/completions", preempted)
    body = {"prompt": "hello", "stream": True}
    async with running.http.stream("POST", "/v1/completions", json=body) as answer:
        pieces = answer.aiter_raw()
        await anext(pieces)
        yield Reading(pieces)


@pytest.mark.parametrize("times", [1, 3])
async def test_a_preempted_answer_is_written_to_its_end_before_a_swap(
    running: Running, times: int
) -> None:
    """By the version that it names, however often the engine takes its place away."""
    async with begun(running, PreemptedStream(times)) as reading:
        published = await running.publish(write_version(running.versions, "v1", -2.0))
        assert (published.status_code, published.json()["current"]) == (200, "v1")
        assert b'"model":"policy@base","text":"-1.0"' in await reading.rest()
    assert running.engine.cache_cleared


async def test_an_adapter_is_not_probed_beside_a_preempted_answer(launcher: Launcher) -> None:
    """With adapters, vLLM on a CPU does not survive a probe in a batch with anything else."""
    preempted, hold = PreemptedStream(times=2), Hold()
    async with launcher.having(adapters=AdapterSettings(max_rank=8)).start() as running:
        running.engine.enqueue(LOAD_ADAPTER, hold)
        async with begun(running, preempted):
            folder = write_version(running.versions, "v1", -2.0, kind="adapter")
            publishing = asyncio.create_task(running.publish(folder))
            await hold.arrived.wait()
            assert preempted.ended.is_set()
            hold.release.set()
            assert (await publishing).status_code == 200


async def test_an_answer_that_is_preempted_for_ever_fails_the_swap(launcher: Launcher) -> None:
    """Within the step's limit; the old version keeps serving and the engine works on."""
    preempted = PreemptedStream(times=1_000_000)
    async with launcher.having(step_limit_s=2.0).start() as running, begun(running, preempted):
        published = await running.publish(write_version(running.versions, "v1", -2.0))
        assert published.status_code == 504
        assert "did not finish" in published.json()["error"]["message"]
        assert not running.engine.paused
        assert (await running.ask()).json()["model"] == "policy@base"


async def test_an_engine_that_does_not_tell_what_waits_takes_no_version(running: Running) -> None:
    """As a vLLM that was started without statistics: the law could not be held."""
    running.engine.keeps_statistics = False
    published = await running.publish(write_version(running.versions, "v1", -2.0))
    assert published.status_code == 502
    assert "--disable-log-stats" in published.json()["error"]["message"]
    assert not running.engine.paused
    assert (await running.ask()).json()["model"] == "policy@base"
