"""Restarts on other weights: on trial until settled for, and never a dead end. With a stand-in."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
from pathlib import Path

import pytest

from galen.errors import Unavailable
from server.settings import ServerSettings
from tests.fakes.engine import write_base, write_weights
from tests.server.processes import Watched, gone


@pytest.fixture
def settings(tmp_path: Path) -> ServerSettings:
    write_weights(tmp_path / "version", -2.0)
    return ServerSettings(model=write_base(tmp_path / "base"), state=tmp_path / "state")


@pytest.fixture
def version(settings: ServerSettings) -> Path:
    return settings.model.parent / "version"


def weights_of(model: Path) -> Path:
    """The folder that a composed model's weights really lie in."""
    return (model / "model.safetensors").resolve().parent


async def test_a_move_starts_the_engine_on_other_weights(
    settings: ServerSettings, version: Path
) -> None:
    """Who asked for it proves them, so the policy is not restored and no request is refused."""
    watched = Watched(settings)
    async with watched.running():
        before = watched.pids
        await watched.engine.restart_with(version)
        assert weights_of(watched.models[-1]) == version
        assert (watched.models[-1] / "config.json").is_file()
        assert await gone(before)
        assert (watched.engine.problem, watched.engine.restarts) == (None, 0)
        assert (watched.engine.started_with, watched.engine.on_trial) == (version, True)
        assert watched.readies.empty()


async def test_weights_on_trial_do_not_survive_a_death(
    settings: ServerSettings, version: Path
) -> None:
    """An engine that dies before they are settled for starts on those from before."""
    watched = Watched(settings)
    async with watched.running():
        await watched.engine.restart_with(version)
        watched.engine.restart("they were refused")
        await watched.readies.get()
        assert watched.models[-1] == settings.model
        assert (watched.engine.started_with, watched.engine.on_trial) == (None, False)


async def test_weights_that_were_settled_for_survive(
    settings: ServerSettings, version: Path
) -> None:
    """A killed engine starts on them again, until it moves back to the base."""
    watched = Watched(settings)
    async with watched.running():
        await watched.engine.restart_with(version)
        watched.engine.settle()
        os.kill(watched.pids[0], signal.SIGKILL)
        await watched.readies.get()
        assert weights_of(watched.models[-1]) == version
        assert not watched.engine.on_trial
        await watched.engine.restart_with(settings.model)
        assert watched.models[-1] == settings.model
        assert watched.engine.started_with is None


async def test_a_version_whose_folder_is_gone_is_no_dead_end(
    settings: ServerSettings, version: Path
) -> None:
    """The engine starts on its base then."""
    watched = Watched(settings)
    async with watched.running():
        await watched.engine.restart_with(version)
        watched.engine.settle()
        shutil.rmtree(version)
        watched.engine.restart("killed")
        await watched.readies.get()
        assert watched.models[-1] == settings.model


async def test_a_move_on_which_the_engine_does_not_start_fails(
    settings: ServerSettings, version: Path
) -> None:
    """Who asked for it is told why, and the engine starts on what it had before."""
    watched = Watched(settings, broken={version})
    async with watched.running():
        with pytest.raises(Unavailable, match="did not start: ValueError: max_model_len"):
            await watched.engine.restart_with(version)
        assert watched.engine.problem
        await watched.readies.get()
        assert watched.models[-1] == settings.model


async def test_a_move_that_cannot_be_prepared_fails(
    settings: ServerSettings, version: Path
) -> None:
    """Like one on which the engine does not start: the gateway goes on."""
    watched = Watched(settings)
    async with watched.running():
        (settings.state / "start").write_text("in the way")
        with pytest.raises(Unavailable, match="cannot be put together"):
            await watched.engine.restart_with(version)
        await watched.readies.get()
        assert watched.models[-1] == settings.model


async def test_settled_weights_that_no_longer_start_are_no_dead_end(
    settings: ServerSettings, version: Path
) -> None:
    """After one vain start on them the engine starts on its base."""
    watched = Watched(settings)
    async with watched.running():
        await watched.engine.restart_with(version)
        watched.engine.settle()
        watched.broken.add(version)
        watched.engine.restart("killed")
        await watched.readies.get()
        assert [weights_of(model) for model in watched.models[-2:]] == [version, settings.model]


async def test_a_version_may_be_restored_by_a_move(settings: ServerSettings, version: Path) -> None:
    """`on_ready` may ask for one and goes on where it was, once the engine is healthy again."""
    watched = Watched(settings)
    went_on: list[str | None] = []

    async def restore() -> None:
        await watched.engine.restart_with(version)
        went_on.append(watched.engine.problem)
        watched.engine.settle()
        await watched.on_ready()

    running = asyncio.create_task(watched.engine.run(restore))
    await watched.readies.get()
    assert went_on == ["the engine is starting: loading its policy version"]
    assert weights_of(watched.models[-1]) == version
    await watched.until(lambda problem: problem == "None")
    running.cancel()
    await asyncio.wait({running})


async def test_an_engine_that_is_away_cannot_move(settings: ServerSettings, version: Path) -> None:
    """It says so at once, rather than wait for a life that may never come."""
    with pytest.raises(Unavailable, match="away"):
        await Watched(settings).engine.restart_with(version)
