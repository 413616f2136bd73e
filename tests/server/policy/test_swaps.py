"""One version takes another's place, among requests and failures, against a fake engine."""

from __future__ import annotations

import asyncio

import pytest

from tests.fakes.engine import PROBE_IDS, HeldStream, Hold, Refuse, write_version
from tests.server.harness import Launcher, Running

RELOAD = "/collective_rpc"
LOAD_ADAPTER = "/v1/load_lora_adapter"


async def test_weights_are_swapped_while_the_engine_is_paused(running: Running) -> None:
    """Pause, reload, resume, probe: in this order; and no cached prefix outlives its weights. The
    pause ends what is still in the engine, such as requests whose client is gone."""
    running.engine.calls.clear()
    await running.publish(write_version(running.versions, "v1", -2.0))
    probes = ["/v1/completions"] * len(PROBE_IDS)
    assert running.engine.paths() == ["/pause", RELOAD, "/resume", *probes]
    assert running.engine.cache_cleared


async def test_a_wrong_probe_is_refused_and_the_old_version_serves_on(running: Running) -> None:
    """The refusal has the number; the old weights are read back and probed again."""
    await running.publish(write_version(running.versions, "v1", -2.0))
    bad = write_version(running.versions, "bad", -3.0, published=-2.75)
    answer = await running.publish(bad)
    assert (answer.status_code, answer.json()["error"]["code"]) == (409, "version_refused")
    assert "0.2500 nat" in answer.json()["error"]["message"]
    assert "'v1' keeps serving" in answer.json()["error"]["message"]
    assert await running.text("policy@v1") == "-2.0"
    names = [c["name"] for c in (await running.http.get("/policy")).json()["versions"]]
    assert names == ["base", "v1"]


async def test_weights_that_the_engine_cannot_read_are_refused(running: Running) -> None:
    """The engine's reason is passed on, and what served before is put back."""
    running.engine.enqueue(RELOAD, Refuse(500, "dtype X99 is unknown"))
    answer = await running.publish(write_version(running.versions, "v1", -2.0))
    assert (answer.status_code, answer.json()["error"]["code"]) == (409, "version_refused")
    assert "dtype X99 is unknown" in answer.json()["error"]["message"]
    assert await running.text() == "-1.0"
    assert not running.engine.paused


async def test_requests_wait_for_a_swap_and_are_written_by_the_new_version(
    running: Running,
) -> None:
    """A request that comes during a swap is neither refused nor answered by unproven weights."""
    hold = Hold()
    running.engine.enqueue(RELOAD, hold)
    folder = write_version(running.versions, "v1", -2.0)
    publishing = asyncio.create_task(running.publish(folder))
    await hold.arrived.wait()
    asking = asyncio.create_task(running.text())
    unanswered = await asyncio.wait({asking}, timeout=0.1)
    assert asking in unanswered[1]
    hold.release.set()
    assert await asking == "-2.0"
    assert (await publishing).status_code == 200


async def test_who_cannot_wait_longer_is_told_to_come_again(launcher: Launcher) -> None:
    """A load may take longer than `wait_limit_s`; nobody is refused for ever."""
    async with launcher.having(wait_limit_s=0.1).start() as running:
        hold = Hold()
        running.engine.enqueue(RELOAD, hold)
        folder = write_version(running.versions, "v1", -2.0)
        publishing = asyncio.create_task(running.publish(folder))
        await hold.arrived.wait()
        answer = await running.ask()
        assert (answer.status_code, answer.headers["Retry-After"]) == (503, "5")
        hold.release.set()
        await publishing
        assert await running.text() == "-2.0"


async def test_requests_that_waited_for_an_engine_that_died_are_told_to_retry(
    running: Running,
) -> None:
    """Nobody who waited at the gate is sent to an engine that has no policy yet."""
    hold = Hold()
    running.engine.enqueue(RELOAD, hold)
    folder = write_version(running.versions, "v1", -2.0)
    publishing = asyncio.create_task(running.publish(folder))
    await hold.arrived.wait()
    asking = asyncio.create_task(running.ask())
    assert asking in (await asyncio.wait({asking}, timeout=0.1))[1]
    running.engine.restart("killed")
    hold.release.set()
    assert (await asking).status_code == 503
    await publishing


async def test_a_swap_waits_for_answers_under_way(running: Running) -> None:
    """An answer that has begun is finished by the version that began it."""
    hold = Hold()
    running.engine.enqueue("/v1/completions", hold)
    asking = asyncio.create_task(running.ask())
    await hold.arrived.wait()
    folder = write_version(running.versions, "v1", -2.0)
    publishing = asyncio.create_task(running.publish(folder))
    assert publishing in (await asyncio.wait({publishing}, timeout=0.1))[1]
    hold.release.set()
    answer = await asking
    assert (answer.json()["model"], answer.json()["choices"][0]["text"]) == ("policy@base", "-1.0")
    assert (await publishing).json()["current"] == "v1"


@pytest.mark.parametrize("stream", [False, True])
async def test_an_answer_that_outlasts_the_limit_is_cut_off_for_the_swap(
    launcher: Launcher, stream: bool
) -> None:
    """Its caller learns why and may ask again; those who wait are answered by the new version."""
    held: Hold | HeldStream = HeldStream() if stream else Hold()
    async with launcher.having(drain_limit_s=0.5).start() as running:
        running.engine.enqueue("/v1/completions", held)
        asking = asyncio.create_task(running.ask(stream=stream))
        await held.arrived.wait()
        publishing = asyncio.create_task(
            running.publish(write_version(running.versions, "v1", -2.0))
        )
        await held.hung_up.wait()
        waiting = asyncio.create_task(running.text())
        assert (await publishing).json()["current"] == "v1"
        assert await waiting == "-2.0"
        answer = await asking
        assert answer.status_code == (200 if stream else 503)
        assert "cut off" in answer.text and "ask again" in answer.text


async def test_a_step_has_a_time_limit(launcher: Launcher) -> None:
    """A pause that does not end is given up; nothing has changed and the engine works on."""
    async with launcher.having(step_limit_s=2.0).start() as running:
        hold = Hold()
        running.engine.enqueue("/pause", hold)
        answer = await running.publish(write_version(running.versions, "v1", -2.0))
        assert answer.status_code == 504
        assert "did not finish /pause" in answer.json()["error"]["message"]
        assert running.engine.paths()[-1] == "/resume"
        assert await running.text("policy@base") == "-1.0"


async def test_an_engine_that_dies_of_a_probe_is_no_fault_of_the_version(running: Running) -> None:
    """An error of an engine that is no longer healthy means: try again."""
    running.engine.enqueue("/v1/completions", Refuse(500, "the core is dead"))
    running.engine.enqueue("/health", Refuse(503, "dead"))
    answer = await running.publish(write_version(running.versions, "v1", -2.0))
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "unavailable")


async def test_a_version_tells_where_it_comes_from(running: Running) -> None:
    """Parent, run, step and the recipe's hash, as its folder says."""
    lineage = {"parent": "base", "run": "demo-ppo", "step": 3, "recipe_sha256": "ab" * 32}
    state = (await running.publish(write_version(running.versions, "v1", -2.0, **lineage))).json()
    card = next(card for card in state["versions"] if card["name"] == "v1")
    assert {name: card[name] for name in lineage} == lineage
    assert (await running.http.get("/policy")).json() == state
