"""Laws of `galen versions`, `publish`, `activate` and `forget`, at a real server."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from cli.main import app
from cli.versions import lines
from galen import digest
from galen.errors import GalenError, VersionRefused
from galen.keys import KeyRing
from server.schemas import PolicyState, VersionCard
from server.settings import ServerSettings
from tests.fakes.engine import write_base, write_version
from tests.fakes.loop_services import LoopPolicyServer
from tests.fakes.rollouts import write_adapter, write_toy
from tests.fakes.services import Refusal
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
        "Loaded v1; `policy` is v1.\nNext:    galen chat, or back again: galen activate base\n",
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


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The model that the fake server serves as `base`; read it, never write to it."""
    return write_toy(tmp_path_factory.mktemp("toy") / "model")


@pytest.fixture
def stack(toy: Path, tmp_path: Path) -> Path:
    """A stack file whose server has this base."""
    file = tmp_path / "stack.yaml"
    file.write_text(f"name: s\nserver: {{model: {toy}, versions_root: {tmp_path}/runs}}\n", "utf-8")
    return file


@pytest.fixture
def server(toy: Path) -> Iterator[LoopPolicyServer]:
    with LoopPolicyServer(digest.of_folder(toy)) as server:
        yield server


def tell(server: LoopPolicyServer, stack: Path, *words: str) -> Result:
    """The command, for that server."""
    options = ["--server", f"{server.url}/v1", "--config", str(stack)]
    return CliRunner().invoke(app, [*words, *options])


def write_run(stack: Path, toy: Path, name: str) -> Path:
    """A finished supervised run with the toy's weights."""
    folder = stack.parent / "runs" / name
    shutil.copytree(toy, folder / "final")
    (folder / "final" / "notes.txt").write_text("not the base's checksum")
    (folder / "recipe.yaml").write_text("stage: sft\n", "utf-8")
    (folder / "manifest.json").write_text(json.dumps({"recipe": "a" * 64, "finished": True}))
    return folder


def test_a_folder_without_a_manifest_is_published(
    server: LoopPolicyServer, stack: Path, toy: Path
) -> None:
    """The command writes it, and says what comes next."""
    output = tell(server, stack, "publish", "mine", str(toy), "--no-activate").output
    assert output.endswith("Loaded mine; `policy` is base.\nNext:    galen activate mine\n")
    (body,) = server.asked("POST", "/policy/versions")
    assert body["path"] == str(stack.parent / "runs" / "published" / "mine")


def test_an_adapter_is_merged_with_one_line_about_it(
    server: LoopPolicyServer, stack: Path, toy: Path, tmp_path: Path
) -> None:
    """The server takes merged weights."""
    adapter = write_adapter(toy, tmp_path / "adapter")
    assert "merging the adapter into its base" in tell(
        server, stack, "publish", "mine", str(adapter)
    ).output  # fmt: skip
    assert server.cards["mine"]["kind"] == "merged"


@pytest.mark.parametrize("words", [("publish", "run:my-sft"), ("activate", "run:my-sft")])
def test_a_finished_run_is_published_by_its_name(
    server: LoopPolicyServer, stack: Path, toy: Path, words: tuple[str, ...]
) -> None:
    """Activating it publishes it first, once."""
    write_run(stack, toy, "my-sft")
    for _ in range(2):
        assert tell(server, stack, *words).exit_code == 0
        assert re.fullmatch("my-sft-[0-9a-f]{8}", server.current)
    assert server.cards[server.current]["run"] == "my-sft"
    assert len(server.asked("POST", "/policy/versions")) == (2 if "publish" in words else 1)


def test_what_the_server_refuses_leaves_no_folder(
    server: LoopPolicyServer, stack: Path, toy: Path
) -> None:
    """The same name may be tried again with better weights."""
    server.refusals.append(Refusal(409, "the probe differs", "version_refused"))
    failed = tell(server, stack, "publish", "mine", str(toy)).exception
    assert isinstance(failed, VersionRefused)
    assert not list((stack.parent / "runs" / "published").iterdir())


def test_a_version_that_another_server_refuses_stays(
    server: LoopPolicyServer, stack: Path, toy: Path
) -> None:
    """What was published before is on somebody's list."""
    tell(server, stack, "publish", "mine", str(toy))
    server.refusals.append(Refusal(409, "the probe differs", "version_refused"))
    assert isinstance(tell(server, stack, "publish", "mine", str(toy)).exception, VersionRefused)
    assert (stack.parent / "runs" / "published" / "mine" / "version.json").is_file()


@pytest.mark.parametrize("name", ["base", "run:x/y", "a b", ""])
def test_a_name_that_no_version_may_have_is_refused_first(
    server: LoopPolicyServer, stack: Path, toy: Path, name: str
) -> None:
    """Nothing is copied for it."""
    failed = tell(server, stack, "publish", name, str(toy)).exception
    assert isinstance(failed, GalenError)
    assert name in failed.message
    assert not (stack.parent / "runs").exists()


def test_a_folder_is_asked_for(server: LoopPolicyServer, stack: Path) -> None:
    """Only a run brings its own name."""
    assert "name the version's folder too" in tell(server, stack, "publish", "mine").output


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
