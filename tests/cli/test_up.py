"""Laws of `galen up`, held with real processes that stand in for services and stages."""

from __future__ import annotations

import io
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from rich.console import Console

from cli import processes, stack, state, up
from cli.processes import Started
from cli.progress import Progress
from cli.stack import StackConfig
from galen.errors import Conflict, GalenError, RecipeError

ROOT = Path(__file__).parents[2]
FAKE = (sys.executable, str(ROOT / "tests/fakes/galen_command.py"))
FILE = Path("stack.yaml")


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on; all held at once, so that they differ."""
    sockets = [socket.socket() for _ in range(count)]
    for each in sockets:
        each.bind(("127.0.0.1", 0))
    ports = [int(each.getsockname()[1]) for each in sockets]
    for each in sockets:
        each.close()
    return ports


@pytest.fixture
def asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[StackConfig]:
    """A stack with three ports of its own, one recipe before the services and two after."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    server, judge, webui = free_ports(3)
    (tmp_path / "data").mkdir()
    for stage in ("sft", "ppo", "compare"):
        text = (ROOT / f"configs/recipes/demo/{stage}.yaml").read_text()
        (tmp_path / f"{stage}.yaml").write_text(text)
    FILE.write_text(
        f"name: small\nserver: {{model: m, port: {server}}}\njudge: {{port: {judge}}}\n"
        f"webui: {{port: {webui}, rehearsal: true}}\n"
        "prepare: [sft.yaml]\ntrain: [ppo.yaml]\ncompare: compare.yaml\n"
    )
    yield stack.load(FILE)
    running = state.read()
    if running is not None:
        processes.stop(running.processes, 5)


def bring_up(asked: StackConfig) -> str:
    """What the steps print."""
    out = io.StringIO()
    progress = Progress(Console(file=out, width=100))
    up.Bringer(asked, FILE, [], progress, FAKE).bring_up()
    return out.getvalue()


def answering(asked: StackConfig) -> list[bool]:
    return [up.answers(url) for url in asked.urls().values()]


def test_up_runs_every_step_and_leaves_three_services(asked: StackConfig) -> None:
    """One line a step, in order; the services answer afterwards and are written down."""
    printed = bring_up(asked)
    steps = [line.split("  ")[1].strip() for line in printed.splitlines()]
    assert steps == [
        "✓ demo-sft", "✓ start judge", "✓ start server", "✓ demo-ppo", "✓ demo-compare",
        "✓ start webui",
    ]  # fmt: skip
    running = state.read()
    assert running is not None
    assert [each.name for each in running.processes] == ["judge", "server", "webui"]
    assert running.is_up()
    assert not running.is_starting()
    assert answering(asked) == [True, True, True]


def test_a_second_up_does_nothing_again(asked: StackConfig) -> None:
    """Training sets are made before anything else; what is finished is passed over, and the
    services come back."""
    Path("data.yaml").write_text("{stage: data, out: made, sources: medical-o1}")
    wanting = asked.model_copy(update={"data": Path("data.yaml")})
    assert bring_up(wanting).splitlines()[0].strip().startswith("✓ data")
    running = state.read()
    assert running is not None
    processes.stop(running.processes, 5)
    again = bring_up(wanting)
    assert again.splitlines()[0].strip().endswith("is there already: made")
    assert again.count("is there already") == 4
    assert answering(asked) == [True, True, True]


def test_the_judge_is_examined_before_anything_trains(asked: StackConfig) -> None:
    """Once for each rubric that a recipe judges by, as soon as the judge is up; the outcome is told
    and decides nothing here: the recipes do."""
    Path("labels.jsonl").write_text("{}")
    printed = bring_up(asked.model_copy(update={"qualify": Path("labels.jsonl")}))
    lines = [line.strip() for line in printed.splitlines()]
    assert lines[0].startswith("✓ start judge")
    assert lines[1].startswith("✓ examine judge, medical-safety")
    assert lines[2].split("  ")[-1].strip() == "mock under medical-safety: not passed"
    assert lines[3].startswith("✓ demo-sft")
    assert answering(asked) == [True, True, True]


def test_an_examination_that_could_not_be_held_stops_everything(
    asked: StackConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A teacher without credit is found before hours of training."""
    monkeypatch.setenv("FAIL", "qualify")
    with pytest.raises(GalenError, match="examine-medical-safety ended early: qualify cannot"):
        bring_up(asked.model_copy(update={"qualify": Path("labels.jsonl")}))
    assert answering(asked) == [False, False, False]


def test_missing_labels_are_found_before_anything_starts(asked: StackConfig) -> None:
    """The path is named."""
    with pytest.raises(RecipeError, match=r"qualify: no file absent\.jsonl"):
        up.check_before(asked.model_copy(update={"qualify": Path("absent.jsonl")}))


def test_a_failing_stage_says_why_and_stops_everything(
    asked: StackConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The stage's own message is shown with its log's path, and no service is left."""
    monkeypatch.setenv("FAIL", "demo-ppo")
    with pytest.raises(GalenError) as failure:
        bring_up(asked)
    assert failure.value.message == (
        "demo-ppo ended early: demo-ppo cannot\n  because of this\n"
        "  its whole log: .galen/logs/demo-ppo.log"
    )
    assert answering(asked) == [False, False, False]
    assert state.read() is None


def test_a_service_that_dies_is_noticed_at_once(
    asked: StackConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A dead service is not waited for until its time is up, nor until a stage beside it ends."""
    monkeypatch.setenv("FAIL", "judge")
    monkeypatch.setenv("HANG", "demo-sft")
    with pytest.raises(GalenError, match="judge ended early: judge cannot"):
        bring_up(asked)


def until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, "it never came"
        time.sleep(0.02)


def up_in_a_process() -> subprocess.Popen[str]:
    """`galen up` with the fake steps, as a process that can be interrupted."""
    code = (
        "import sys; from pathlib import Path; from rich.console import Console\n"
        "from cli import services, stack, up; from cli.progress import Progress\n"
        "file, *fake = Path(sys.argv[1]), *sys.argv[2:]\n"
        "progress = Progress(Console())\n"
        "services.bring_up(up.Bringer(stack.load(file), file, [], progress, fake))"
    )
    return subprocess.Popen(
        [sys.executable, "-c", code, str(FILE), *FAKE],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_an_interrupted_up_stops_what_it_started(
    number: signal.Signals, asked: StackConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C, `kill` and a closed terminal leave nothing running and nothing written down."""
    monkeypatch.setenv("HANG", "demo-sft")
    with up_in_a_process() as command:
        until(lambda: (now := state.read()) and len(now.processes) == 2)
        until(lambda: Path(".galen/logs/demo-sft.log").read_text())
        started = state.read()
        command.send_signal(number)
        printed = command.communicate(timeout=60)[0]
    assert command.returncode == 130
    assert "Interrupted" in printed
    assert started is not None
    assert [each.name for each in started.processes] == ["judge", "demo-sft"]
    assert [processes.is_alive(each) for each in started.processes] == [False, False]
    assert state.read() is None


def test_down_finds_what_a_killed_up_has_started(
    asked: StackConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Even SIGKILL on `galen up` does not lose track of a service or a stage."""
    monkeypatch.setenv("HANG", "demo-sft")
    with up_in_a_process() as command:
        until(lambda: (now := state.read()) and len(now.processes) == 2)
        command.kill()
    running = state.read()
    assert running is not None
    assert not running.is_starting()
    assert all(processes.is_alive(each) for each in running.processes)
    processes.stop(running.processes, 5)
    assert not any(processes.is_alive(each) for each in running.processes)


def test_a_taken_port_is_named_with_its_holder(asked: StackConfig) -> None:
    """One line says which port, for which service, who has it and what to do."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", asked.judge.port))
        listener.listen()
        with pytest.raises(Conflict) as refusal:
            up.check_before(asked)
    message = refusal.value.message
    assert message.startswith(f"port {asked.judge.port} (judge) is taken by ")
    assert f"(pid {os.getpid()})" in message
    assert "galen down" in message
    assert "--set judge.port=" in message
    assert "\n" not in message


def test_a_missing_model_or_recipe_is_found_before_anything_starts(asked: StackConfig) -> None:
    """A stack that cannot end well does not begin."""
    up.check_before(asked)
    with pytest.raises(RecipeError, match=r"no folder m"):
        up.check_before(asked.model_copy(update={"prepare": ()}))
    Path("compare.yaml").unlink()
    with pytest.raises(RecipeError, match=r"compare\.yaml: no such file"):
        up.check_before(asked)


def test_recipes_follow_the_stacks_ports(asked: StackConfig) -> None:
    """A stage talks to the services of its stack; a recipe without services is left alone."""
    urls = asked.urls()
    assert up.service_overrides(Path("sft.yaml"), asked) == []
    assert up.service_overrides(Path("ppo.yaml"), asked) == [
        f"services.server={urls['server']}",
        f"services.judge={urls['judge']}",
    ]
    usual = stack.load(FILE, ["server.port=8000", "judge.port=8001"])
    assert up.service_overrides(Path("ppo.yaml"), usual) == []


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        (b"one\ntwo\n\n", "two"),
        (b" 10%\r 20%\r 30%\n", " 30%"),
        (b"\x1b[31mred\x1b[0m\n", "[31mred[0m"),
        (b"\xff\xfe", "��"),
        (b"", ""),
        (b"x" * 10_000 + b"\nlast", "last"),
    ],
)
def test_the_last_line_of_a_log_is_one_clean_line(
    written: bytes, shown: str, tmp_path: Path
) -> None:
    """Whatever a process writes, what is shown of it cannot move the cursor."""
    log = tmp_path / "log"
    log.write_bytes(written)
    assert up.last_line(log) == shown


@pytest.mark.parametrize(
    ("status", "body", "problem"),
    [
        (200, b"", None),
        (
            503,
            b'{"error": {"message": "the engine is starting, 3 s"}}',
            "the engine is starting, 3 s",
        ),
        (503, b"[]", ""),
        (503, b"no JSON", ""),
    ],
)
def test_a_service_says_what_it_waits_for(status: int, body: bytes, problem: str | None) -> None:
    """In its own words; whatever else it answers is no reason to stop."""

    class Service(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Service) as server:
        asked = threading.Thread(target=server.handle_request)
        asked.start()
        assert up.problem_at(f"http://127.0.0.1:{server.server_port}/readyz") == problem
        asked.join()


def test_a_service_that_is_not_there_says_nothing() -> None:
    """It may still come."""
    assert up.problem_at(f"http://127.0.0.1:{free_ports(1)[0]}/readyz") == ""


def test_a_process_without_a_message_shows_its_last_line(tmp_path: Path) -> None:
    """A crash shows the exception's own line, which is the last of a traceback."""
    log = tmp_path / "log"
    log.write_text("Traceback (most recent call last):\n  File …\nKeyError: 'x'\n")
    started = Started(name="s", pid=1, mark="", folder=tmp_path, log=log)
    assert up.failed(started).message.startswith("s ended early: KeyError: 'x'\n")
