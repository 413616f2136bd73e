"""Versions with other embeddings, which the engine must be started on, against a fake engine.

Like vLLM on a CPU, the fake reads embeddings at its start alone.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from server.settings import EngineSettings
from tests.fakes.engine import START, Die, Hold, Refuse, write_base, write_version
from tests.server.harness import Launcher, Running

RELOAD = "/collective_rpc"


@pytest.fixture
def launcher(launcher: Launcher) -> Launcher:
    """One whose base has embeddings of its own."""
    write_base(launcher.settings.model, -1.0, embeddings=-0.5)
    return launcher


@pytest.fixture
async def running(launcher: Launcher) -> AsyncIterator[Running]:
    async with launcher.start() as server:
        yield server


def full(running: Running, name: str, logprob: float, **more: Any) -> Path:
    """A version with other embeddings than the base."""
    return write_version(running.versions, name, logprob, embeddings=logprob / 2, **more)


def starts(running: Running) -> list[Path]:
    return [folder for path, folder in running.engine.calls if path == START]


async def activate(running: Running, name: str) -> httpx.Response:
    return await running.http.post("/policy/activate", json={"name": name})


async def test_other_embeddings_are_served_after_a_start_on_them(running: Running) -> None:
    """The version, then the base again, then the version: each start is proved by its probe."""
    folder = full(running, "v1", -2.0)
    answer = await running.publish(folder)
    assert (answer.status_code, answer.json()["current"]) == (200, "v1")
    assert await running.text() == "-2.0"
    await activate(running, "base")
    assert await running.text() == "-1.0"
    await activate(running, "v1")
    assert await running.text() == "-2.0"
    assert starts(running) == [folder, running.settings.model, folder]
    assert running.engine.restarts == 0


async def test_weights_that_can_be_swapped_in_need_no_start(running: Running) -> None:
    """Compared with those that the engine was started with, be they the base's or not."""
    await running.publish(full(running, "v1", -2.0))
    beside = write_version(running.versions, "v2", -3.0, embeddings=-1.0)
    answer = await running.publish(beside)
    assert answer.json()["current"] == "v2"
    assert await running.text() == "-3.0"
    assert len(starts(running)) == 1


async def test_a_wrong_probe_needs_no_start(running: Running) -> None:
    """When the embeddings are the same, the probe's word is final."""
    folder = write_version(running.versions, "v1", -2.0, embeddings=-0.5, published=-3.0)
    answer = await running.publish(folder)
    assert answer.json()["error"]["code"] == "version_refused"
    assert starts(running) == []
    assert await running.text() == "-1.0"


async def test_the_simple_engine_needs_no_start(launcher: Launcher) -> None:
    """It reads embeddings like all other weights, so its probe's word is final."""
    simple = EngineSettings(backend="transformers")
    async with launcher.having(engine=simple).start() as running:
        answer = await running.publish(full(running, "v1", -2.0, published=-5.0))
        assert answer.json()["error"]["code"] == "version_refused"
        assert starts(running) == []
        assert await running.text() == "-1.0"


async def test_a_wrong_probe_after_a_start_is_a_refusal(running: Running) -> None:
    """What served before serves again after a restart, be it swapped in or started on."""
    await running.publish(full(running, "v1", -2.0))
    for name, folder in (
        ("v1", full(running, "wrong", -4.0, published=-5.0)),
        ("v2", full(running, "wrong2", -4.5, published=-5.0)),
    ):
        answer = await running.publish(folder)
        assert (answer.status_code, answer.json()["error"]["code"]) == (409, "version_refused")
        assert f"the engine is being restarted with {name!r}" in answer.json()["error"]["message"]
        await running.engine.ready.wait()
        assert await running.text() == ("-2.0" if name == "v1" else "-3.0")
        assert (await running.http.get("/policy")).json()["current"] == name
        await running.publish(write_version(running.versions, "v2", -3.0, embeddings=-1.0))


async def test_requests_wait_while_the_engine_starts_on_a_version(running: Running) -> None:
    """None is refused meanwhile, and each is answered by the version that serves then."""
    start = Hold()
    running.engine.enqueue(START, start)
    publishing = asyncio.create_task(running.publish(full(running, "v1", -2.0)))
    await start.arrived.wait()
    asking = asyncio.create_task(running.ask())
    await asyncio.wait({asking}, timeout=0.1)
    assert not asking.done()
    start.release.set()
    answer = await asking
    assert (answer.status_code, answer.headers["X-Policy-Version"]) == (200, "v1")
    assert answer.json()["choices"][0]["text"] == "-2.0"
    assert (await publishing).status_code == 200


async def test_who_cannot_wait_longer_is_told_to_come_again(launcher: Launcher) -> None:
    """A start may take longer than `wait_limit_s`."""
    async with launcher.having(wait_limit_s=0.1).start() as running:
        start = Hold()
        running.engine.enqueue(START, start)
        publishing = asyncio.create_task(running.publish(full(running, "v1", -2.0)))
        await start.arrived.wait()
        answer = await running.ask()
        assert (answer.status_code, answer.headers["Retry-After"]) == (503, "1")
        start.release.set()
        await publishing
        assert await running.text() == "-2.0"


async def test_an_engine_that_does_not_start_on_a_version_keeps_the_old_one(
    running: Running,
) -> None:
    """The caller is told to come again, and the version from before is restored."""
    running.engine.enqueue(START, Die())
    answer = await running.publish(full(running, "v1", -2.0))
    assert answer.status_code == 503
    assert "restarted with 'base'" in answer.json()["error"]["message"]
    await running.engine.ready.wait()
    assert await running.text() == "-1.0"


async def test_an_engine_that_others_run_keeps_what_it_held(running: Running) -> None:
    """It cannot be started by us; the refusal says who can, and nothing has changed."""
    running.engine.enqueue(START, Refuse(0, "must be started anew by whoever runs it"))
    answer = await running.publish(full(running, "v1", -2.0))
    assert answer.json()["error"]["code"] == "version_refused"
    assert "by whoever runs it; 'base' keeps serving" in answer.json()["error"]["message"]
    assert await running.text() == "-1.0"
    assert running.engine.restarts == 0


async def test_a_killed_engine_comes_back_with_the_version(running: Running) -> None:
    """Started on it again, it needs no further start."""
    await running.publish(full(running, "v1", -2.0))
    running.engine.restart("killed")
    await running.engine.ready.wait()
    assert await running.text() == "-2.0"
    assert len(starts(running)) == 1


async def test_the_version_survives_a_restart_of_the_gateway(launcher: Launcher) -> None:
    """The engine begins on its base, by which `base` is known later, and is then started on the
    version before anybody is let in."""
    async with launcher.start() as running:
        await running.publish(full(running, "v1", -2.0))
    async with launcher.start() as running:
        assert await running.text() == "-2.0"
        assert (await running.http.get("/policy")).json()["notice"] is None
        await activate(running, "base")
        assert await running.text() == "-1.0"


async def test_a_version_that_is_gone_gives_way_to_the_true_base(running: Running) -> None:
    """An engine that was started on it holds no base until it is started on that."""
    folder = full(running, "v1", -2.0)
    await running.publish(folder)
    (folder / "version.json").unlink()
    running.engine.restart("killed")
    await running.engine.ready.wait()
    assert await running.text() == "-1.0"
    state = (await running.http.get("/policy")).json()
    assert (state["current"], "'v1' could not be restored" in state["notice"]) == ("base", True)


async def test_a_version_that_hangs_while_it_is_restored_is_not_given_up_at_once(
    launcher: Launcher,
) -> None:
    """A step that takes too long is the engine's fault until it has been started anew."""
    async with launcher.having(step_limit_s=2.0).start() as running:
        await running.publish(write_version(running.versions, "v1", -2.0, embeddings=-0.5))
        running.engine.enqueue(RELOAD, Hold())
        running.engine.restart("killed")
        await running.engine.ready.wait()
        assert await running.text() == "-2.0"
        assert (await running.http.get("/policy")).json()["notice"] is None
