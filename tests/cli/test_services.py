"""Laws of `galen down` and `galen status`."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from cli import processes, stack, state
from cli.main import app
from cli.processes import Started
from cli.state import SERVICES, StackState
from galen.errors import Conflict

FILE = Path("stack.yaml")


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    FILE.write_text("name: small\nserver: {model: m}\n")


def sleeper(name: str) -> Started:
    return processes.start(name, ["sleep", "1000"], Path(f"{name}.log"))


def test_down_with_nothing_up_says_so() -> None:
    """Stopping nothing is no error."""
    done = CliRunner().invoke(app, ["down"])
    assert (done.exit_code, "Nothing that was started" in done.stdout) == (0, True)


def test_down_stops_what_is_written_down_and_nothing_else() -> None:
    """Its own processes end; one that runs the same program goes on; the record is gone."""
    ours, stranger = [sleeper(name) for name in SERVICES], sleeper("stranger")
    reused = stranger.model_copy(update={"name": "stage", "mark": "1"})
    state.write(StackState(config=FILE, processes=(*ours, reused)))
    done = CliRunner().invoke(app, ["down"])
    alive = [processes.is_alive(each) for each in (*ours, stranger)]
    processes.stop([stranger], 5)
    assert done.exit_code == 0
    assert alive == [False, False, False, True]
    assert state.read() is None


def test_up_on_other_ports_while_up_is_refused() -> None:
    """Addresses at which nothing listens are never shown."""
    there = sleeper("server").model_copy(update={"url": "http://127.0.0.1:8010"})
    rest = tuple(sleeper(name) for name in SERVICES if name != "server")
    running = StackState(config=FILE, processes=(there, *rest))
    state.write(running)
    done = CliRunner().invoke(app, ["up", str(FILE)])
    processes.stop(running.processes, 5)
    assert done.exit_code == 1
    assert "other ports" in str(done.exception)


def test_up_with_other_settings_while_up_is_refused() -> None:
    """Nobody believes that a server asks for keys when it does not."""
    started = tuple(sleeper(name) for name in SERVICES)
    marks = {**stack.load(FILE).marks(), "server": "other"}
    state.write(StackState(config=FILE, processes=started, marks=marks))
    done = CliRunner().invoke(app, ["up", str(FILE)])
    processes.stop(started, 5)
    assert isinstance(done.exception, Conflict)
    assert "other settings of server;" in done.exception.message


def test_up_while_up_says_so_and_starts_nothing() -> None:
    """A second `galen up` shows the addresses again and leaves the record as it is."""
    running = StackState(config=FILE, processes=tuple(sleeper(name) for name in SERVICES))
    state.write(running)
    done = CliRunner().invoke(app, ["up", str(FILE)])
    other = CliRunner().invoke(app, ["up", str(FILE.rename("other.yaml"))])
    after = state.read()
    processes.stop(running.processes, 5)
    assert done.exit_code == 0
    assert "up already" in done.stdout
    assert "http://127.0.0.1:7860" in done.stdout
    assert isinstance(other.exception, Conflict)
    assert after == running


def test_up_does_not_disturb_an_up_at_work() -> None:
    """Two `galen up` in one folder would race for ports and runs; the second is refused."""
    state.write(StackState(config=FILE, starter=processes.this_process("up")))
    done = CliRunner().invoke(app, ["up", str(FILE)])
    assert isinstance(done.exception, Conflict)
    assert "is running here" in done.exception.message


def test_status_tells_dead_from_alive() -> None:
    """Each service has its line, and a stack that is not whole ends with exit code 1."""
    judge, server = sleeper("judge"), sleeper("server")
    processes.stop([server], 5)
    state.write(StackState(config=FILE, processes=(judge, server)))
    done = CliRunner().invoke(app, ["status"])
    processes.stop([judge], 5)
    lines = {line.split()[0]: line for line in done.stdout.splitlines()}
    assert done.exit_code == 1
    assert f"pid {judge.pid}" in lines["judge"]
    assert "dead" in lines["server"]
    assert "not started" in lines["webui"]


def test_status_with_nothing_up_is_exit_code_1() -> None:
    """A script can ask whether Galen is up."""
    assert CliRunner().invoke(app, ["status"]).exit_code == 1
