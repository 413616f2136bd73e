"""`galen predict`: what a person sees, and what a kill costs."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from cli.main import app
from galen import DISCLAIMER_EN, DISCLAIMER_ZH
from tests.fakes.chat_server import ChatServer, Held
from tests.fakes.services import Refusal

ROOT = Path(__file__).parents[2]


@pytest.fixture
def server() -> Iterator[ChatServer]:
    with ChatServer() as server:
        yield server


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "in.txt"
    path.write_text("".join(f"q{n}\n" for n in range(8)), "utf-8")
    return path


def galen(source: Path, server: ChatServer, *more: str) -> Result:
    arguments = ["predict", str(source), str(source.with_name("out.jsonl")), *more]
    return CliRunner().invoke(app, [*arguments, "--server", server.url])


def answers(source: Path) -> list[str]:
    lines = source.with_name("out.jsonl").read_text("utf-8").splitlines()
    return [json.loads(line)["answer"] for line in lines]


def test_it_says_what_it_did_and_what_is_next(source: Path, server: ChatServer) -> None:
    """The count, who wrote it, where it is; the disclaimer once."""
    done = galen(source, server)
    assert done.exit_code == 0
    assert done.stdout.count(DISCLAIMER_ZH) == done.stdout.count(DISCLAIMER_EN) == 1
    said = done.stdout.splitlines()[-4:]
    assert said[:2] == ["Answered 8 rows", "Written by: policy@v1 (8)"]
    assert said[2] == f"Answers:    {source.with_name('out.jsonl')}"
    assert said[3].startswith("Next:       galen judge score ")
    assert answers(source) == [f"re: q{n}" for n in range(8)]


def test_failed_rows_are_counted_in_the_exit_code(source: Path, server: ChatServer) -> None:
    """A script that goes on only after success stops here; the same command asks them again."""
    server.enqueue("q3", Refusal(400, "too long"))
    done = galen(source, server)
    assert done.exit_code == 1
    assert "Answered 7 rows, 1 failed" in done.stdout
    assert "the same command again" in done.stdout
    again = galen(source, server)
    assert again.exit_code == 0
    assert "7 of 8 rows are answered already" in again.stdout
    assert answers(source) == [f"re: q{n}" for n in range(8)]


def test_options_reach_the_server(source: Path, server: ChatServer) -> None:
    """Each of them, and no more rows at once than are allowed."""
    options = ("--model", "policy@v1", "--system", "s", "--max-tokens", "7")
    galen(source, server, *options, "--temperature", "0", "--seed", "3", "--concurrency", "1")
    first = server.asked("POST", "/v1/chat/completions")[0]
    chosen = {"model": "policy@v1", "max_tokens": 7, "temperature": 0.0, "seed": 3}
    assert first["messages"][0] == {"role": "system", "content": "s"}
    assert {name: value for name, value in first.items() if name != "messages"} == chosen
    assert server.questions == [f"q{n}" for n in range(8)]


def test_the_key_is_read_from_the_environment(
    source: Path, server: ChatServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As by the other commands; it never stands on a command line."""
    monkeypatch.setenv("GALEN_KEY", "secret-key")
    galen(source, server)
    assert {r.headers["Authorization"] for r in server.requests} == {"Bearer secret-key"}


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGKILL, -signal.SIGKILL)]
)
def test_a_kill_costs_only_what_was_under_way(
    source: Path, server: ChatServer, number: signal.Signals, code: int
) -> None:
    """Ctrl-C or `kill -9`: the same command asks for what is missing, and nothing twice."""
    held = Held()
    server.enqueue("q5", held)
    command = [sys.executable, "-m", "cli.main", "predict", str(source)]
    more = [str(source.with_name("out.jsonl")), "--server", server.url, "--concurrency", "1"]
    with subprocess.Popen(
        [*command, *more],
        cwd=source.parent,
        env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "utf-8"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    ) as process:
        assert held.arrived.wait(60)
        process.send_signal(number)
        said = process.communicate(timeout=60)[0].decode()
        held.release.set()
    assert process.returncode == code, said
    if number == signal.SIGINT:
        assert "Stopped: 5 of 8 rows are answered and kept." in said
        assert "Traceback" not in said
    assert not source.with_name("out.jsonl").exists()
    server.requests.clear()
    done = galen(source, server, "--concurrency", "1")
    assert (done.exit_code, server.questions) == (0, ["q5", "q6", "q7"])
    assert answers(source) == [f"re: q{n}" for n in range(8)]
