"""Loading, activating, rolling back and deleting versions, against a fake engine."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path

import pytest

from server.schemas import BASE, Kind
from server.settings import AdapterSettings
from tests.fakes.engine import PROBE_IDS, Die, HeldStream, Hold, Refuse, write_version
from tests.fakes.small_disk import small_disk
from tests.server.harness import Launcher, Running

RELOAD = "/collective_rpc"
LOAD_ADAPTER = "/v1/load_lora_adapter"


async def text_of(running: Running, model: str = "policy") -> str:
    """What the fake engine writes: the log-probability that its weights stand for."""
    answer = await running.ask(model)
    return str(answer.json()["choices"][0]["text"])


async def test_a_published_version_writes_the_answers_and_they_name_it(running: Running) -> None:
    """After a publish `policy` is the new version, in the body, in the header and in deed."""
    answer = await running.publish(write_version(running.versions, "v1", -2.0))
    assert (answer.status_code, answer.json()["current"]) == (200, "v1")
    told = await running.ask()
    assert told.headers["X-Policy-Version"] == "v1"
    assert told.json()["model"] == "policy@v1"
    assert told.json()["choices"][0]["text"] == "-2.0"


async def test_weights_are_swapped_while_the_engine_is_paused(running: Running) -> None:
    """Pause, reload, resume, probe: in this order; and no cached prefix outlives its weights."""
    running.engine.calls.clear()
    await running.publish(write_version(running.versions, "v1", -2.0))
    probes = ["/v1/completions"] * len(PROBE_IDS)
    assert running.engine.paths() == ["/pause", "/metrics", RELOAD, "/resume", *probes]
    assert running.engine.cache_cleared


async def test_publishing_twice_is_publishing_once(running: Running) -> None:
    """The same folder under the same name is answered without touching the engine."""
    folder = write_version(running.versions, "v1", -2.0)
    first = await running.publish(folder)
    running.engine.calls.clear()
    second = await running.publish(folder)
    assert second.json() == first.json()
    assert running.engine.calls == []


async def test_a_name_with_other_weights_is_a_conflict(running: Running) -> None:
    """Versions are immutable."""
    await running.publish(write_version(running.versions, "v1", -2.0))
    answer = await running.publish(write_version(running.versions / "again", "v1", -3.0))
    assert (answer.status_code, answer.json()["error"]["code"]) == (409, "conflict")
    assert await text_of(running) == "-2.0"


async def test_a_version_may_be_listed_before_it_serves(running: Running) -> None:
    """Without `activate` merged weights are checked and listed, and activated later."""
    await running.publish(write_version(running.versions, "v1", -2.0), activate=False)
    assert await text_of(running) == "-1.0"
    unloaded = await running.ask("policy@v1")
    assert unloaded.status_code == 404
    assert "activate 'v1' first" in unloaded.json()["error"]["message"]
    await running.http.post("/policy/activate", json={"name": "v1"})
    assert await text_of(running, "policy@v1") == "-2.0"


@pytest.mark.parametrize("is_current", [False, True])
async def test_a_version_is_where_it_was_last_published(running: Running, is_current: bool) -> None:
    """Moved and published again, it is found there from then on, also by a fresh engine."""
    folder = write_version(running.versions, "v1", -2.0)
    await running.publish(folder, activate=is_current)
    moved = running.versions / "moved" / "v1"
    moved.parent.mkdir()
    folder.rename(moved)
    await running.publish(moved, activate=is_current)
    if is_current:
        running.engine.restart("killed")
        await running.engine.ready.wait()
    else:
        await running.http.post("/policy/activate", json={"name": "v1"})
    assert await text_of(running, "policy@v1") == "-2.0"


async def test_a_name_whose_weights_are_gone_may_be_listed_with_others(running: Running) -> None:
    """Nothing is left of the first, so the name means the second from then on."""
    first = write_version(running.versions, "v1", -2.0)
    await running.publish(first, activate=False)
    shutil.rmtree(first)
    await running.publish(write_version(running.versions / "again", "v1", -3.0), activate=False)
    activated = await running.http.post("/policy/activate", json={"name": "v1"})
    assert activated.status_code == 200, activated.text
    assert await text_of(running) == "-3.0"


async def test_roll_back_and_forward(running: Running) -> None:
    """Any known version, `base` too, can be the current one again."""
    for name, logprob in (("v1", -2.0), ("v2", -3.0)):
        await running.publish(write_version(running.versions, name, logprob))
    seen = []
    for name in ("v1", "base", "v2"):
        answer = await running.http.post("/policy/activate", json={"name": name})
        assert answer.json()["current"] == name
        seen.append(await text_of(running))
    assert seen == ["-2.0", "-1.0", "-3.0"]


async def test_of_merged_versions_only_the_current_one_is_loaded(running: Running) -> None:
    """The list says which versions a request may name."""
    await running.publish(write_version(running.versions, "v1", -2.0))
    cards = (await running.http.get("/policy")).json()["versions"]
    assert [(c["name"], c["loaded"]) for c in cards] == [("base", False), ("v1", True)]
    assert cards[1]["parity"] == 0.0
    models = (await running.http.get("/v1/models")).json()["data"]
    assert [m["id"] for m in models] == ["policy", "policy@v1"]
    assert (await running.ask("base")).status_code == 404


async def test_a_wrong_probe_is_refused_and_the_old_version_serves_on(running: Running) -> None:
    """The refusal has the number; the old weights are read back and probed again."""
    await running.publish(write_version(running.versions, "v1", -2.0))
    bad = write_version(running.versions, "bad", -3.0, published=-2.75)
    answer = await running.publish(bad)
    assert (answer.status_code, answer.json()["error"]["code"]) == (409, "version_refused")
    assert "0.2500 nat" in answer.json()["error"]["message"]
    assert "'v1' keeps serving" in answer.json()["error"]["message"]
    assert await text_of(running, "policy@v1") == "-2.0"
    names = [c["name"] for c in (await running.http.get("/policy")).json()["versions"]]
    assert names == ["base", "v1"]


async def test_weights_that_the_engine_cannot_read_are_refused(running: Running) -> None:
    """The engine's reason is passed on, and what served before is put back."""
    running.engine.enqueue(RELOAD, Refuse(500, "dtype X99 is unknown"))
    answer = await running.publish(write_version(running.versions, "v1", -2.0))
    assert (answer.status_code, answer.json()["error"]["code"]) == (409, "version_refused")
    assert "dtype X99 is unknown" in answer.json()["error"]["message"]
    assert await text_of(running) == "-1.0"
    assert not running.engine.paused


async def test_what_cannot_be_put_back_is_restored_by_a_restart(running: Running) -> None:
    """If the reload of the old weights fails too, a fresh engine loads them."""
    await running.publish(write_version(running.versions, "v1", -2.0))
    running.engine.enqueue(RELOAD, Refuse(500, "broken"), Refuse(500, "still broken"))
    answer = await running.publish(write_version(running.versions, "v2", -3.0))
    assert answer.status_code == 503
    assert "restarted with 'v1'" in answer.json()["error"]["message"]
    await running.engine.ready.wait()
    assert running.engine.restarts == 1
    assert await text_of(running, "policy@v1") == "-2.0"


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
    assert await text_of(running, "policy@v1") == "-2.0"


async def test_an_engine_that_dies_during_a_load_comes_back_with_the_old_version(
    running: Running,
) -> None:
    """The new version never becomes the current one."""
    await running.publish(write_version(running.versions, "v1", -2.0))
    running.engine.enqueue(RELOAD, Die())
    answer = await running.publish(write_version(running.versions, "v2", -3.0))
    assert answer.status_code == 503
    await running.engine.ready.wait()
    assert await text_of(running, "policy@v1") == "-2.0"


async def test_the_version_survives_a_restart_of_the_gateway(launcher: Launcher) -> None:
    """What was current is loaded again before the server is ready."""
    async with launcher.start() as before:
        await before.publish(write_version(before.versions, "v1", -2.0))
    async with launcher.start() as after:
        assert await text_of(after, "policy@v1") == "-2.0"


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
        assert await text_of(after) == "-1.0"
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


async def test_requests_wait_for_a_swap_and_are_written_by_the_new_version(
    running: Running,
) -> None:
    """A request that comes during a swap is neither refused nor answered by unproven weights."""
    hold = Hold()
    running.engine.enqueue(RELOAD, hold)
    folder = write_version(running.versions, "v1", -2.0)
    publishing = asyncio.create_task(running.publish(folder))
    await hold.arrived.wait()
    asking = asyncio.create_task(text_of(running))
    unanswered = await asyncio.wait({asking}, timeout=0.1)
    assert asking in unanswered[1]
    hold.release.set()
    assert await asking == "-2.0"
    assert (await publishing).status_code == 200


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


async def test_a_reader_who_stops_reading_does_not_hold_up_a_swap(running: Running) -> None:
    """Once a stream has begun, the engine itself sees to it that it ends before the reload."""
    stream = HeldStream()
    running.engine.enqueue("/v1/completions", stream)
    body = {"prompt": "hello", "stream": True}
    async with running.http.stream("POST", "/v1/completions", json=body) as answer:
        pieces = answer.aiter_raw()
        await anext(pieces)
        published = await running.publish(write_version(running.versions, "v1", -2.0))
        assert published.json()["current"] == "v1"
        stream.release.set()
        rest = b"".join([piece async for piece in pieces])
    assert b'"model":"policy@base","text":"-1.0"' in rest


async def test_a_step_has_a_time_limit(launcher: Launcher) -> None:
    """A pause that does not end is given up; nothing has changed and the engine works on."""
    async with launcher.having(step_limit_s=0.2).start() as running:
        hold = Hold()
        running.engine.enqueue("/pause", hold)
        answer = await running.publish(write_version(running.versions, "v1", -2.0))
        assert answer.status_code == 504
        assert "did not finish its requests" in answer.json()["error"]["message"]
        assert running.engine.paths()[-1] == "/resume"
        assert await text_of(running, "policy@base") == "-1.0"


async def test_answers_that_do_not_end_fail_the_swap_and_not_the_server(
    launcher: Launcher,
) -> None:
    """The old version keeps serving when the gate does not empty in time."""
    async with launcher.having(step_limit_s=0.2).start() as running:
        hold = Hold()
        running.engine.enqueue("/v1/completions", hold)
        asking = asyncio.create_task(running.ask())
        await hold.arrived.wait()
        answer = await running.publish(write_version(running.versions, "v1", -2.0))
        assert answer.status_code == 504
        assert "nothing has changed" in answer.json()["error"]["message"]
        hold.release.set()
        assert (await asking).json()["model"] == "policy@base"


async def test_a_version_is_forgotten_but_its_folder_stays(running: Running) -> None:
    """Deleting takes a version off the list and no file from the disk."""
    folder = write_version(running.versions, "v1", -2.0)
    await running.publish(folder)
    await running.http.post("/policy/activate", json={"name": "base"})
    answer = await running.http.delete("/policy/versions/v1")
    assert [c["name"] for c in answer.json()["versions"]] == ["base"]
    assert (folder / "version.json").exists()
    gone = await running.http.post("/policy/activate", json={"name": "v1"})
    assert gone.status_code == 404


@pytest.mark.parametrize(("name", "status"), [("base", 409), ("v1", 409), ("v9", 404)])
async def test_what_serves_cannot_be_deleted(running: Running, name: str, status: int) -> None:
    """The base and the current version stay; an unknown name is not found."""
    await running.publish(write_version(running.versions, "v1", -2.0))
    assert (await running.http.delete(f"/policy/versions/{name}")).status_code == status


def with_adapters(launcher: Launcher, max_loaded: int = 4) -> Launcher:
    return launcher.having(adapters=AdapterSettings(max_rank=8, max_loaded=max_loaded))


def adapter(root: Path, name: str, logprob: float, *, published: float | None = None) -> Path:
    return write_version(root, name, logprob, kind="adapter", published=published)


async def test_adapters_serve_side_by_side(launcher: Launcher) -> None:
    """Every loaded adapter and the base answer under their own names at the same time."""
    async with with_adapters(launcher).start() as running:
        for name, logprob in (("v1", -2.0), ("v2", -3.0)):
            await running.publish(adapter(running.versions, name, logprob))
        models = ["policy", "policy@v1", "policy@v2", "base"]
        assert [await text_of(running, model) for model in models] == [
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
            assert await text_of(running) == text
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
        assert running.engine.paths()[-4:] == ["/pause", "/metrics", "/resume", LOAD_ADAPTER]
        asking = asyncio.create_task(text_of(running))
        assert asking in (await asyncio.wait({asking}, timeout=0.1))[1]
        hold.release.set()
        await publishing
        assert await asking == "-2.0"


async def test_an_engine_that_dies_of_a_probe_is_no_fault_of_the_version(running: Running) -> None:
    """An error of an engine that is no longer healthy means: try again."""
    running.engine.enqueue("/v1/completions", Refuse(500, "the core is dead"))
    running.engine.enqueue("/health", Refuse(503, "dead"))
    answer = await running.publish(write_version(running.versions, "v1", -2.0))
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "unavailable")


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
        assert await text_of(running, "policy") == "-2.0"
        assert list(running.engine.adapters.values()) == [-2.0]


async def test_old_adapters_make_room(launcher: Launcher) -> None:
    """Beyond `max_loaded` the longest loaded goes, but never the current one."""
    async with with_adapters(launcher, max_loaded=2).start() as running:
        for step in range(1, 5):
            folder = adapter(running.versions, f"v{step}", -1.0 - step)
            await running.publish(folder, activate=step == 1)
        assert list(running.engine.adapters.values()) == [-2.0, -5.0]
        assert (await running.ask("policy@v3")).status_code == 404
        await running.http.post("/policy/activate", json={"name": "v3"})
        assert await text_of(running) == "-4.0"


async def test_a_deleted_adapter_leaves_the_engine(launcher: Launcher) -> None:
    """Its slot is free for another."""
    async with with_adapters(launcher).start() as running:
        await running.publish(adapter(running.versions, "v1", -2.0), activate=False)
        await running.http.delete("/policy/versions/v1")
        assert running.engine.adapters == {}


async def test_all_loaded_adapters_come_back_with_the_engine(launcher: Launcher) -> None:
    """After a restart the adapters beside the current one can be named again."""
    async with with_adapters(launcher).start() as running:
        await running.publish(adapter(running.versions, "v1", -2.0))
        await running.publish(adapter(running.versions, "v2", -3.0), activate=False)
        running.engine.restart("killed")
        await running.engine.ready.wait()
        assert await text_of(running, "policy") == "-2.0"
        assert await text_of(running, "policy@v2") == "-3.0"


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
        assert await text_of(running, "policy") == "-2.0"
        assert (await running.ask("policy@v2")).status_code == 404


async def test_a_name_used_again_gets_another_name_in_the_engine(launcher: Launcher) -> None:
    """The engine's prefix cache is keyed by name, so other weights must bear another one."""
    async with with_adapters(launcher).start() as running:
        folder = adapter(running.versions, "v1", -2.0)
        await running.publish(folder, activate=False)
        await running.http.delete("/policy/versions/v1")
        await running.publish(adapter(running.versions / "again", "v1", -3.0), activate=False)
        names = [b["lora_name"] for path, b in running.engine.calls if path == LOAD_ADAPTER]
        assert len(set(names)) == 2


@pytest.mark.parametrize("kind", ["merged", "adapter"])
async def test_a_folder_swapped_while_it_is_loaded_is_refused(
    launcher: Launcher, kind: Kind
) -> None:
    """What the engine read is not what was checked, even where its probe agrees."""
    adapters = AdapterSettings() if kind == "adapter" else None
    async with launcher.having(adapters=adapters).start() as running:
        hold = Hold()
        running.engine.enqueue(LOAD_ADAPTER if kind == "adapter" else RELOAD, hold)
        folder = write_version(running.versions, "v1", -2.0, kind=kind)
        publishing = asyncio.create_task(running.publish(folder))
        await hold.arrived.wait()
        other = write_version(running.versions / "aside", "v1", -2.0, kind=kind)
        (other / "model.safetensors").replace(folder / "model.safetensors")
        hold.release.set()
        answer = await publishing
        assert (answer.status_code, answer.json()["error"]["code"]) == (409, "version_refused")
        assert "was changed while it was loaded" in answer.json()["error"]["message"]
        assert await text_of(running) == "-1.0"


async def test_a_folder_that_is_broken_while_it_is_loaded_is_refused(running: Running) -> None:
    """Nobody can tell any more what embeddings it has; the engine gets back what it held."""
    hold = Hold()
    running.engine.enqueue(RELOAD, hold)
    folder = write_version(running.versions, "v1", -2.0)
    publishing = asyncio.create_task(running.publish(folder))
    await hold.arrived.wait()
    (folder / "other.safetensors").write_bytes(b"no header")
    hold.release.set()
    answer = await publishing
    assert (answer.status_code, answer.json()["error"]["code"]) == (409, "version_refused")
    assert await text_of(running, "policy@base") == "-1.0"


async def test_what_cannot_be_written_down_does_not_serve(running: Running) -> None:
    """On a full disk a version is refused, the engine goes back, and the old one serves on."""
    folder = write_version(running.versions, "v1", -2.0)
    with small_disk(16):
        answer = await running.publish(folder)
    assert answer.status_code == 507, answer.text
    assert running.engine.weights == -1.0
    assert (await running.ask()).json()["model"] == "policy@base"
    assert (await running.http.get("/policy")).json()["current"] == BASE


async def test_an_engine_comes_back_although_the_disk_is_full(running: Running) -> None:
    """What it held is known already, so there is nothing to write."""
    await running.publish(write_version(running.versions, "v1", -2.0))
    with small_disk(16):
        running.engine.restart("it was killed")
        await running.engine.ready.wait()
        assert (await running.ask()).json()["model"] == "policy@v1"
