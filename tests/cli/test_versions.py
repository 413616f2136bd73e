"""Laws of `galen versions`, `publish`, `activate` and `forget`, at a real server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from cli.main import app
from cli.versions import lines
from galen.errors import GalenError
from galen.keys import KeyRing
from server.schemas import PolicyState, VersionCard
from server.settings import ServerSettings
from tests.fakes.engine import write_base, write_version
from tests.server.harness import Launcher, Running

SHA256 = "0123456789abcdef" * 4


@pytest.fixture
async def running(tmp_path: Path) -> AsyncIterator[Running]:
    folder = tmp_path / "versions"
    folder.mkdir()
    base, state = write_base(tmp_path / "base"), tmp_path / "state"
    settings = ServerSettings(model=base, state=state, versions_root=folder, step_limit_s=60.0)
    async with Launcher(settings, KeyRing({})).start() as server:
        yield server


async def galen(running: Running, *words: str) -> Result:
    """The command beside the server, each with an event loop of its own."""
    arguments = [*words, "--server", str(running.http.base_url)]
    return await asyncio.to_thread(CliRunner().invoke, app, arguments)


async def test_a_version_is_published_and_left_and_taken_again_and_forgotten(
    running: Running,
) -> None:
    """Each command says which version answers afterwards, and that is the one that does."""
    folder = str(write_version(running.versions, "v1", -2.0))
    said = [
        (await galen(running, *words)).output
        for words in (
            ["publish", "v1", folder],
            ["activate", "base"],
            ["activate", "v1"],
            ["activate", "base"],
            ["forget", "v1"],
        )
    ]
    assert said == [
        "Loaded v1; `policy` is v1.\n",
        "`policy` is base.\n",
        "`policy` is v1.\n",
        "`policy` is base.\n",
        "Forgot v1; `policy` is base.\n",
    ]
    assert [card["name"] for card in (await running.http.get("/policy")).json()["versions"]] == [
        "base"
    ]


async def test_the_list_marks_the_version_that_answers(running: Running) -> None:
    """And says what to do with it."""
    await running.publish(write_version(running.versions, "v1", -2.0))
    output = (await galen(running, "versions")).output
    assert [line[:6] for line in output.splitlines()[:2]] == ["  base", "* v1  "]
    assert "galen activate NAME" in output


async def test_a_version_that_is_not_there_is_an_error(running: Running) -> None:
    """It names the version, and nothing has changed."""
    failed = (await galen(running, "activate", "v9")).exception
    assert isinstance(failed, GalenError)
    assert "v9" in failed.message
    assert (await running.http.get("/policy")).json()["current"] == "base"


def test_a_line_tells_where_a_version_comes_from() -> None:
    """Only what is known of it is told, and the server's notice comes last."""
    base = VersionCard(name="base", kind="merged", sha256=SHA256, loaded=True)
    tuned = VersionCard(
        name="new", kind="adapter", sha256=SHA256, loaded=True, parent="base", run="demo-ppo",
        step=3, parity=0.00125,
    )  # fmt: skip
    policy = PolicyState(
        current="base", versions=(base, tuned), disclaimer="", notice="'v9' could not be loaded"
    )
    assert list(lines(policy)) == [
        "* base  merged   0123456789ab, loaded",
        "  new   adapter  0123456789ab, loaded, parity 0.0013 nat, run demo-ppo, step 3, from base",
        "\n'v9' could not be loaded",
    ]
