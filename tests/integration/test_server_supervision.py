"""The policy server's supervision, with a real vLLM: full-parameter versions, engines that hang or
are killed, gateways that end.

The tests follow one another on one server, since each start of vLLM takes long.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import psutil
import pytest

from server.settings import EngineSettings, ServerSettings
from tests.integration.load import greedy, under_load
from tests.integration.real_server import SERVE, Server, free_port, gap, running, settings_for

pytestmark = [pytest.mark.engine, pytest.mark.prove, pytest.mark.timeout(900)]

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> ServerSettings:
    # In float32 vLLM packs the head on any CPU, in bfloat16 on those that can compute in it.
    engine = EngineSettings(hang_limit_s=8.0, dtype="float32")
    return settings_for(tmp_path_factory.mktemp("supervised"), engine=engine)


@pytest.fixture(scope="module")
def server(settings: ServerSettings) -> Iterator[Server]:
    with running(settings) as server:
        yield server


def family_of(process: subprocess.Popen[bytes]) -> list[psutil.Process]:
    """The engine's processes, the leash among them."""
    return psutil.Process(process.pid).children(recursive=True)


def are_gone(family: list[psutil.Process]) -> bool:
    _, alive = psutil.wait_procs(family, timeout=60)
    return not [each for each in alive if each.status() != psutil.STATUS_ZOMBIE]


def restarts(server: Server) -> float:
    return server.metric("galen_server_engine_restarts")


def test_changed_embeddings_are_served_under_load(server: Server) -> None:
    """Read into the running engine, its tied head too, and rolled back: whoever asks meanwhile is
    answered by the version that the answer names."""
    said = dict([greedy(server)])
    base, family = server.prompt_logprobs(), family_of(server.process)
    with under_load(server) as load:
        answer = server.publish(server.merged("full", seed=4, embeddings=True))
    assert (answer.status_code, answer.json()["current"]) == (200, "full"), answer.text
    card = next(card for card in answer.json()["versions"] if card["name"] == "full")
    assert card["parity"] < 0.02
    assert gap(base[1], server.prompt_logprobs()[1]) > 0.1
    said |= dict([greedy(server)])
    assert load.statuses().keys() == {200}
    assert load.written_by() == {name: {tokens} for name, tokens in said.items()}
    server.activate("base")
    name, after = server.prompt_logprobs()
    assert name == "policy@base"
    assert gap(base[1], after) < 0.001
    assert family_of(server.process) == family


def test_an_engine_that_hangs_comes_back_with_the_same_version(server: Server) -> None:
    """Stopped under load, it is found out by its silence; no request hangs with it."""
    server.activate("full")
    before, count = greedy(server), restarts(server)
    with under_load(server) as load:
        for process in family_of(server.process):
            process.send_signal(signal.SIGSTOP)
        server.until(lambda: not server.is_ready(), limit_s=60)
        why = server.http.get("/readyz").json()["error"]["message"]
        server.until(server.is_ready)
    assert "had not answered for 8 s" in why
    assert set(load.statuses()) <= {200, 503}
    assert load.written_by() == {before[0]: {before[1]}}
    assert greedy(server) == before
    assert restarts(server) == count + 1


def test_a_killed_gateway_leaves_nothing_and_comes_back_with_the_version(
    server: Server, settings: ServerSettings
) -> None:
    """`kill -9`: the engine ends with it. The next gateway says what its engine is doing while it
    starts, and serves the same full-parameter version."""
    before, family = greedy(server), family_of(server.process)
    server.process.kill()
    assert are_gone(family)
    with running(settings) as again:
        assert greedy(again) == before
        assert again.http.get("/policy").json()["notice"] is None


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_a_gateway_that_ends_while_its_engine_starts_leaves_nothing(
    settings: ServerSettings, tmp_path: Path, number: signal.Signals
) -> None:
    """However it is ended; here once vLLM has written its first word."""
    log = tmp_path / "state" / "engine.log"
    starting = settings.model_copy(update={"port": free_port(), "state": log.parent})
    words = [sys.executable, "-c", SERVE, starting.model_dump_json()]
    with (tmp_path / "out").open("wb") as out, httpx.Client() as http:
        gateway = subprocess.Popen(words, stdout=out, stderr=out, cwd=ROOT)
        waiting = Server(http, gateway, starting.model, starting.versions_root)
        waiting.until(lambda: log.exists() and b"warning" in log.read_bytes().lower())
    family = family_of(gateway)
    os.kill(gateway.pid, number)
    gateway.wait(30)
    assert len(family) >= 2
    assert are_gone(family)
