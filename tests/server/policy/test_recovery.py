"""What an engine holds after its end and new start, against a fake engine."""

from __future__ import annotations

import shutil

import pytest

from tests.fakes.engine import Die, Hold, Refuse, write_version
from tests.fakes.small_disk import small_disk
from tests.server.harness import Launcher, Running
from tests.server.policy.adapters import adapter, with_adapters

RELOAD = "/collective_rpc"


async def test_what_cannot_be_put_back_is_restored_by_a_restart(running: Running) -> None:
    """If the reload of the old weights fails too, a fresh engine loads them."""
    await running.publish(write_version(running.versions, "v1", -2.0))
    running.engine.enqueue(RELOAD, Refuse(500, "broken"), Refuse(500, "still broken"))
    answer = await running.publish(write_version(running.versions, "v2", -3.0))
    assert answer.status_code == 503
    assert "restarted with 'v1'" in answer.json()["error"]["message"]
    await running.engine.ready.wait()
    assert running.engine.restarts == 1
    assert await running.text("policy@v1") == "-2.0"


async def test_an_engine_that_dies_comes_back_with_the_same_version(running: Running) -> None:
    """Requests meanwhile are told to retry; afterwards the version is the one from before."""
    await running.publish(write_version(running.versions, "v1", -2.0))
    hold = Hold()
    running.engine.enqueue(RELOAD, hold)
    running.engine.restart("killed")
    await hold.arrived.wait()
    meanwhile = await running.ask()
    assert meanwhile.status_code == 503
    assert int(meanwhile.headers["Retry-After"]) >= 1
    hold.release.set()
    await running.engine.ready.wait()
    assert await running.text("policy@v1") == "-2.0"


async def test_an_engine_that_dies_during_a_load_comes_back_with_the_old_version(
    running: Running,
) -> None:
    """The new version never becomes the current one."""
    await running.publish(write_version(running.versions, "v1", -2.0))
    running.engine.enqueue(RELOAD, Die())
    answer = await running.publish(write_version(running.versions, "v2", -3.0))
    assert answer.status_code == 503
    await running.engine.ready.wait()
    assert await running.text("policy@v1") == "-2.0"


async def test_the_version_survives_a_restart_of_the_gateway(launcher: Launcher) -> None:
    """What was current is loaded again before the server is ready."""
    async with launcher.start() as before:
        await before.publish(write_version(before.versions, "v1", -2.0))
    async with launcher.start() as after:
        assert await after.text("policy@v1") == "-2.0"


async def test_a_version_that_cannot_be_restored_gives_way_to_the_base_and_is_told(
    launcher: Launcher,
) -> None:
    """The server serves, and says which version is missing and why."""
    async with launcher.start() as before:
        folder = write_version(before.versions, "v1", -2.0)
        await before.publish(folder)
    (folder / "model.safetensors").write_bytes(b"")
    async with launcher.start() as after:
        state = (await after.http.get("/policy")).json()
        assert state["current"] == "base"
        assert "'v1' could not be restored" in state["notice"]
        assert await after.text() == "-1.0"
        await after.publish(write_version(after.versions, "v2", -3.0))
        assert (await after.http.get("/policy")).json()["notice"] is None


async def test_a_version_that_kills_the_engine_is_given_up(running: Running) -> None:
    """Two engines lost to one version are enough; the third starts with the base."""
    await running.publish(write_version(running.versions, "v1", -2.0))
    running.engine.enqueue(RELOAD, Die(), Refuse(500, "-"), Die(), Refuse(500, "-"))
    running.engine.restart("killed")
    await running.engine.ready.wait()
    state = (await running.http.get("/policy")).json()
    assert state["current"] == "base"
    assert "died 2 times" in state["notice"]


@pytest.mark.parametrize("path", ["/policy/versions", "/policy/activate"])
async def test_nothing_is_loaded_into_an_engine_that_is_not_back(
    running: Running, path: str
) -> None:
    """An admin is told at once to retry, and does not wait for the restart."""
    hold = Hold()
    running.engine.enqueue("/v1/completions", hold)
    running.engine.restart("killed")
    await hold.arrived.wait()
    body = {"name": "base"} if path.endswith("activate") else {"name": "v1", "path": "x"}
    answer = await running.http.post(path, json=body)
    assert answer.status_code == 503
    assert "Retry-After" in answer.headers
    hold.release.set()
    await running.engine.ready.wait()


async def test_all_loaded_adapters_come_back_with_the_engine(launcher: Launcher) -> None:
    """After a restart the adapters beside the current one can be named again."""
    async with with_adapters(launcher).start() as running:
        await running.publish(adapter(running.versions, "v1", -2.0))
        await running.publish(adapter(running.versions, "v2", -3.0), activate=False)
        running.engine.restart("killed")
        await running.engine.ready.wait()
        assert await running.text("policy") == "-2.0"
        assert await running.text("policy@v2") == "-3.0"


async def test_an_adapter_whose_folder_is_gone_does_not_hold_up_its_engine(
    launcher: Launcher,
) -> None:
    """The engine comes back at once with what can be read, and the other is no longer loaded."""
    async with with_adapters(launcher).start() as running:
        await running.publish(adapter(running.versions, "v1", -2.0))
        beside = adapter(running.versions, "v2", -3.0)
        await running.publish(beside, activate=False)
        shutil.rmtree(beside)
        running.engine.restart("killed")
        await running.engine.ready.wait()
        assert running.engine.restarts == 1
        assert await running.text("policy") == "-2.0"
        assert (await running.ask("policy@v2")).status_code == 404


async def test_an_engine_comes_back_although_the_disk_is_full(running: Running) -> None:
    """What it held is known already, so there is nothing to write."""
    await running.publish(write_version(running.versions, "v1", -2.0))
    with small_disk(16):
        running.engine.restart("it was killed")
        await running.engine.ready.wait()
        assert (await running.ask()).json()["model"] == "policy@v1"


async def test_a_version_that_hangs_while_it_is_restored_is_not_given_up_at_once(
    launcher: Launcher,
) -> None:
    """A step that takes too long is the engine's fault until it has been started anew."""
    async with launcher.having(step_limit_s=2.0).start() as running:
        await running.publish(write_version(running.versions, "v1", -2.0))
        running.engine.enqueue(RELOAD, Hold())
        running.engine.restart("killed")
        await running.engine.ready.wait()
        assert await running.text() == "-2.0"
        assert (await running.http.get("/policy")).json()["notice"] is None
