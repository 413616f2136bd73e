"""Laws of the record of what is up."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from cli import processes, state
from cli.processes import Started
from cli.state import SERVICES, StackState
from galen.errors import GalenError


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def alive(name: str) -> Started:
    return processes.this_process(name)


def dead(name: str) -> Started:
    with subprocess.Popen(["true"]) as child:
        mark = processes.mark_of(child.pid) or "none"
    return Started(name=name, pid=child.pid, mark=mark, folder=Path.cwd())


def test_what_is_written_is_read_back() -> None:
    """The record survives the command that wrote it, whole."""
    written = StackState(config=Path("a.yaml"), processes=(alive("judge"),), starter=alive("up"))
    state.write(written)
    assert state.read() == written


def test_nothing_written_is_nothing_up() -> None:
    """Without a record nothing was started here, and forgetting it twice is no error."""
    assert state.read() is None
    state.forget()


@pytest.mark.parametrize("content", [b"", b"{", b'{"config": 1}', b"\xff\xfe"])
def test_a_damaged_record_is_reported_not_ignored(content: bytes) -> None:
    """A record that cannot be read must not pass for an empty one: processes may be running."""
    state.STATE.parent.mkdir()
    state.STATE.write_bytes(content)
    with pytest.raises(GalenError, match="cannot be read"):
        state.read()


def test_a_stack_is_up_when_every_service_runs() -> None:
    """One dead or missing service makes a stack not up."""
    whole = tuple(alive(name) for name in SERVICES)
    config = Path("a.yaml")
    assert StackState(config=config, processes=whole).is_up()
    assert not StackState(config=config, processes=whole[1:]).is_up()
    assert not StackState(config=config, processes=(dead("judge"), *whole[1:])).is_up()


def test_a_stack_is_starting_while_its_starter_lives() -> None:
    """A `galen up` that was killed does not block the next one."""
    config = Path("a.yaml")
    assert StackState(config=config, starter=alive("up")).is_starting()
    assert not StackState(config=config, starter=dead("up")).is_starting()
    assert not StackState(config=config).is_starting()


def test_commands_talk_to_the_server_that_is_up_here() -> None:
    """`galen chat` finds a server on another port; without one it tries the usual place."""
    assert state.server_url() == state.DEFAULT_SERVER
    server = alive("server").model_copy(update={"url": "http://127.0.0.1:8010"})
    state.write(StackState(config=Path("a.yaml"), processes=(server,)))
    assert state.server_url() == "http://127.0.0.1:8010"
