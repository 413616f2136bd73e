"""`galen data distil`: what a person sees, and what a kill costs."""

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

from cli.data import app
from tests.fakes.chat_server import ChatServer, Held, Said
from tests.fakes.services import Refusal

ROOT = Path(__file__).parents[3]
USAGE = {"prompt_tokens": 1000, "completion_tokens": 100}


@pytest.fixture
def server() -> Iterator[ChatServer]:
    with ChatServer() as server:
        server.usual = lambda question: Said(
            f"<think>t</think><answer>{question}</answer>", usage=USAGE
        )
        yield server


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "in.txt"
    path.write_text("".join(f"q{n}\n" for n in range(8)), "utf-8")
    return path


def arguments(source: Path, server: ChatServer, *more: str) -> list[str]:
    out = source.with_name("out.jsonl")
    teacher = ("--teacher", f"{server.url}/v1", "--model", "deep")
    return ["distil", str(source), str(out), *teacher, *more]


def galen(source: Path, server: ChatServer, *more: str) -> Result:
    return CliRunner().invoke(app, arguments(source, server, *more), catch_exceptions=False)


def test_it_says_what_it_cost_and_what_was_not_used(source: Path, server: ChatServer) -> None:
    """By the prices that were given."""
    server.enqueue("q3", Said("no form", usage=USAGE))
    done = galen(source, server, "--price-in", "1", "--price-out", "10")
    assert done.exit_code == 0
    said = done.stdout.splitlines()
    assert said[0].startswith("Written:  7 rows to ")
    assert said[1] == "Not used: 1 replies: <think> is missing"
    assert said[2].endswith("out.unusable.jsonl")
    assert said[3] == "Cost:     0.0160 US dollars"


def test_a_known_teachers_price_is_the_judges(source: Path, server: ChatServer) -> None:
    """Of the table that is kept with the judge; without a price the cost is unknown, not 0."""
    assert "Cost:     cost unknown: --price-in and --price-out" in galen(source, server).stdout
    source.with_name("out.jsonl").unlink()
    done = galen(source, server, "--model", "deepseek-flash")
    assert "cost unknown" not in done.stdout
    assert "Cost:     0.00" in done.stdout


def test_failed_rows_are_in_the_exit_status(source: Path, server: ChatServer) -> None:
    """A script that goes on only after success stops here."""
    server.enqueue("q3", Refusal(400, "no"))
    done = galen(source, server)
    assert (done.exit_code, "Failed:   1 rows" in done.stdout) == (1, True)


@pytest.mark.parametrize(
    ("names", "sent"),
    [
        (["JUDGE_API_KEY", "DEEPSEEK_API_KEY"], "Bearer of JUDGE_API_KEY"),
        (["DEEPSEEK_API_KEY"], "Bearer of DEEPSEEK_API_KEY"),
        ([], None),
    ],
)
def test_the_key_comes_from_the_environment(
    source: Path,
    server: ChatServer,
    monkeypatch: pytest.MonkeyPatch,
    names: list[str],
    sent: str | None,
) -> None:
    """It never stands on a command line."""
    for name in ("JUDGE_API_KEY", "DEEPSEEK_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    for name in names:
        monkeypatch.setenv(name, f"of {name}")
    galen(source, server)
    assert {request.headers.get("Authorization") for request in server.requests} == {sent}


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGKILL, -signal.SIGKILL)]
)
def test_a_kill_costs_only_what_was_under_way(
    source: Path, server: ChatServer, number: signal.Signals, code: int
) -> None:
    """Ctrl-C or `kill -9`: no reply that had come is paid twice, and none is lost."""
    held = Held()
    server.enqueue("q5", held)
    more = arguments(source, server, "--concurrency", "1")
    with subprocess.Popen(
        [sys.executable, "-m", "cli.main", "data", *more],
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
    assert "Traceback" not in said
    out = source.with_name("out.jsonl")
    assert not out.exists()
    server.requests.clear()
    done = galen(source, server, "--concurrency", "1")
    assert (done.exit_code, server.questions) == (0, ["q5", "q6", "q7"])
    assert "5 of 8 rows are answered already" in done.stdout
    assert len(out.read_text("utf-8").splitlines()) == 8
    assert json.loads(out.read_text("utf-8").splitlines()[0])["instruction"] == "q0"
