"""Listing, activating, rolling back and deleting versions, against a fake engine."""

from __future__ import annotations

import shutil

import pytest

from server.schemas import BASE
from tests.fakes.engine import write_version
from tests.fakes.small_disk import small_disk
from tests.server.harness import Running


async def test_a_published_version_writes_the_answers_and_they_name_it(running: Running) -> None:
    """After a publish `policy` is the new version, in the body, in the header and in deed."""
    answer = await running.publish(write_version(running.versions, "v1", -2.0))
    assert (answer.status_code, answer.json()["current"]) == (200, "v1")
    told = await running.ask()
    assert told.headers["X-Policy-Version"] == "v1"
    assert told.json()["model"] == "policy@v1"
    assert told.json()["choices"][0]["text"] == "-2.0"


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
    assert await running.text() == "-2.0"


async def test_a_version_may_be_listed_before_it_serves(running: Running) -> None:
    """Without `activate` merged weights are checked and listed, and activated later."""
    await running.publish(write_version(running.versions, "v1", -2.0), activate=False)
    assert await running.text() == "-1.0"
    unloaded = await running.ask("policy@v1")
    assert unloaded.status_code == 404
    assert "`galen activate v1`" in unloaded.json()["error"]["message"]
    await running.http.post("/policy/activate", json={"name": "v1"})
    assert await running.text("policy@v1") == "-2.0"


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
    assert await running.text("policy@v1") == "-2.0"


async def test_a_name_whose_weights_are_gone_may_be_listed_with_others(running: Running) -> None:
    """Nothing is left of the first, so the name means the second from then on."""
    first = write_version(running.versions, "v1", -2.0)
    await running.publish(first, activate=False)
    shutil.rmtree(first)
    await running.publish(write_version(running.versions / "again", "v1", -3.0), activate=False)
    activated = await running.http.post("/policy/activate", json={"name": "v1"})
    assert activated.status_code == 200, activated.text
    assert await running.text() == "-3.0"


async def test_roll_back_and_forward(running: Running) -> None:
    """Any known version, `base` too, can be the current one again."""
    for name, logprob in (("v1", -2.0), ("v2", -3.0)):
        await running.publish(write_version(running.versions, name, logprob))
    seen = []
    for name in ("v1", "base", "v2"):
        answer = await running.http.post("/policy/activate", json={"name": name})
        assert answer.json()["current"] == name
        seen.append(await running.text())
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


async def test_what_cannot_be_written_down_does_not_serve(running: Running) -> None:
    """On a full disk a version is refused, the engine goes back, and the old one serves on."""
    folder = write_version(running.versions, "v1", -2.0)
    with small_disk(16):
        answer = await running.publish(folder)
    assert answer.status_code == 507, answer.text
    assert running.engine.weights == -1.0
    assert (await running.ask()).json()["model"] == "policy@base"
    assert (await running.http.get("/policy")).json()["current"] == BASE
