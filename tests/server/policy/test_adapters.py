"""LoRA adapters side by side, against a fake engine."""

from __future__ import annotations

import asyncio

from tests.fakes.engine import Hold, Refuse
from tests.server.harness import Launcher
from tests.server.policy.adapters import adapter, with_adapters

LOAD_ADAPTER = "/v1/load_lora_adapter"


async def test_adapters_serve_side_by_side(launcher: Launcher) -> None:
    """Every loaded adapter and the base answer under their own names at the same time."""
    async with with_adapters(launcher).start() as running:
        for name, logprob in (("v1", -2.0), ("v2", -3.0)):
            await running.publish(adapter(running.versions, name, logprob))
        models = ["policy", "policy@v1", "policy@v2", "base"]
        assert [await running.text(model) for model in models] == [
            "-3.0",
            "-2.0",
            "-3.0",
            "-1.0",
        ]
        assert (await running.ask("policy@v1")).json()["model"] == "policy@v1"


async def test_a_loaded_adapter_is_activated_by_a_name_alone(launcher: Launcher) -> None:
    """Nobody waits and nothing is loaded: its probe has passed already. So it is for the base."""
    async with with_adapters(launcher).start() as running:
        for name, logprob in (("v1", -2.0), ("v2", -3.0)):
            await running.publish(adapter(running.versions, name, logprob))
        running.engine.calls.clear()
        for name, text in (("v1", "-2.0"), ("base", "-1.0")):
            await running.http.post("/policy/activate", json={"name": name})
            assert await running.text() == text
        assert running.engine.paths() == ["/v1/completions"] * 2


async def test_an_adapter_is_probed_alone(launcher: Launcher) -> None:
    """Requests wait and streams under way end first: with adapters, vLLM on a CPU does not survive
    a probe in a batch with anything else."""
    async with with_adapters(launcher).start() as running:
        hold = Hold()
        running.engine.enqueue(LOAD_ADAPTER, hold)
        folder = adapter(running.versions, "v1", -2.0)
        publishing = asyncio.create_task(running.publish(folder))
        await hold.arrived.wait()
        assert running.engine.paths()[-3:] == ["/pause", "/resume", LOAD_ADAPTER]
        asking = asyncio.create_task(running.text())
        assert asking in (await asyncio.wait({asking}, timeout=0.1))[1]
        hold.release.set()
        await publishing
        assert await asking == "-2.0"


async def test_an_adapter_that_changes_nothing_is_refused(launcher: Launcher) -> None:
    """One that answers as the base does has reached no module; the engine forgets it."""
    async with with_adapters(launcher).start() as running:
        answer = await running.publish(adapter(running.versions, "v1", -1.0))
        assert (answer.status_code, answer.json()["error"]["code"]) == (409, "version_refused")
        assert "changes nothing" in answer.json()["error"]["message"]
        assert running.engine.adapters == {}


async def test_an_adapter_with_a_wrong_probe_is_refused(launcher: Launcher) -> None:
    """The current adapter keeps serving and the refused one is unloaded."""
    async with with_adapters(launcher).start() as running:
        await running.publish(adapter(running.versions, "v1", -2.0))
        answer = await running.publish(adapter(running.versions, "v2", -3.0, published=-4.0))
        assert "'v1' keeps serving" in answer.json()["error"]["message"]
        assert await running.text("policy") == "-2.0"
        assert list(running.engine.adapters.values()) == [-2.0]


async def test_an_adapter_that_is_loaded_stays_when_a_second_probe_fails(
    launcher: Launcher,
) -> None:
    """Published once more, it is probed once more; what the engine held before it holds still."""
    async with with_adapters(launcher).start() as running:
        folder = adapter(running.versions, "v1", -2.0)
        await running.publish(folder, activate=False)
        running.engine.enqueue("/v1/completions", Refuse(400, "too busy to be probed"))
        again = await running.publish(folder, activate=False)
        assert again.status_code == 409, again.text
        assert await running.text("policy@v1") == "-2.0"


async def test_old_adapters_make_room(launcher: Launcher) -> None:
    """Beyond `max_loaded` the longest loaded goes, but never the current one."""
    async with with_adapters(launcher, max_loaded=2).start() as running:
        for step in range(1, 5):
            folder = adapter(running.versions, f"v{step}", -1.0 - step)
            await running.publish(folder, activate=step == 1)
        assert list(running.engine.adapters.values()) == [-2.0, -5.0]
        assert (await running.ask("policy@v3")).status_code == 404
        await running.http.post("/policy/activate", json={"name": "v3"})
        assert await running.text() == "-4.0"


async def test_a_deleted_adapter_leaves_the_engine(launcher: Launcher) -> None:
    """Its slot is free for another."""
    async with with_adapters(launcher).start() as running:
        await running.publish(adapter(running.versions, "v1", -2.0), activate=False)
        await running.http.delete("/policy/versions/v1")
        assert running.engine.adapters == {}


async def test_a_deleted_adapter_answers_what_it_has_begun(launcher: Launcher) -> None:
    """A request bound to it gets its answer, and not the engine's 404; new ones get ours."""
    async with with_adapters(launcher).start() as running:
        await running.publish(adapter(running.versions, "v1", -2.0), activate=False)
        hold = Hold()
        running.engine.enqueue("/v1/completions", hold)
        asking = asyncio.create_task(running.text("policy@v1"))
        await hold.arrived.wait()
        deleting = asyncio.create_task(running.http.delete("/policy/versions/v1"))
        while (await running.ask("policy@v1")).status_code != 404:
            pass
        assert not deleting.done()
        hold.release.set()
        assert await asking == "-2.0"
        assert (await deleting).status_code == 200
        assert running.engine.adapters == {}


async def test_a_name_used_again_gets_another_name_in_the_engine(launcher: Launcher) -> None:
    """The engine's prefix cache is keyed by name, so other weights must bear another one."""
    async with with_adapters(launcher).start() as running:
        folder = adapter(running.versions, "v1", -2.0)
        await running.publish(folder, activate=False)
        await running.http.delete("/policy/versions/v1")
        await running.publish(adapter(running.versions / "again", "v1", -3.0), activate=False)
        names = [b["lora_name"] for path, b in running.engine.calls if path == LOAD_ADAPTER]
        assert len(set(names)) == 2
