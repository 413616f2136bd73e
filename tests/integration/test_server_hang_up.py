"""Clients that hang up on the real engine: wherever their request is, nothing goes on for them.

One engine serves all tests. What it works at is read from its own metrics.
"""

from __future__ import annotations

import contextlib
import json
import socket
from collections.abc import Iterator
from typing import Any

import pytest

from server.client import ROLE_HEADER
from tests.integration.real_server import PROMPT_IDS, Server, running, settings_for

pytestmark = [pytest.mark.engine, pytest.mark.prove]

LONG = 1000
"""Tokens of a generation that no test waits for."""
LIMIT_S = 60.0


@pytest.fixture(scope="module")
def one_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("hang-up")
    settings = settings_for(folder, rollouts_at_once=1, rollouts_beside_people=1)
    with running(settings) as server:
        yield server


@pytest.fixture
def server(one_server: Server) -> Server:
    """The server with nothing to do and its base serving."""
    one_server.activate("base")
    one_server.until(lambda: at_work(one_server) == 0, LIMIT_S)
    return one_server


def at_work(server: Server) -> float:
    """Sequences that the engine has in its batch or its queue."""
    return server.metric("vllm:num_requests_running") + server.metric("vllm:num_requests_waiting{")


def begun(server: Server) -> float:
    """Sequences that the engine has ended so far, one way or another."""
    return server.metric("vllm:request_success_total")


def written(server: Server) -> float:
    return server.metric("vllm:generation_tokens_total")


def waiting(server: Server) -> float:
    return server.metric("galen_server_requests_waiting{")


@contextlib.contextmanager
def asking(server: Server, role: str | None = None, **more: Any) -> Iterator[socket.socket]:
    """The connection of a client that has asked for a long completion; hung up with the block."""
    body = {"prompt": PROMPT_IDS, "max_tokens": LONG, "ignore_eos": True, **more}
    raw = json.dumps(body).encode()
    head = ["POST /v1/completions HTTP/1.1", "Host: localhost", f"Content-Length: {len(raw)}"]
    head += [f"{ROLE_HEADER}: {role}"] if role else []
    port = server.http.base_url.port
    with socket.create_connection(("127.0.0.1", port), timeout=LIMIT_S) as client:
        client.sendall("\r\n".join([*head, "", ""]).encode() + raw)
        yield client


@pytest.mark.parametrize(
    ("more", "sequences"),
    [({}, 1), ({"stream": True}, 1), ({"n": 3}, 3), ({"n": 3, "stream": True}, 3)],
    ids=["whole", "stream", "three", "three streamed"],
)
def test_a_hang_up_stops_all_that_was_asked_for(
    server: Server, more: dict[str, Any], sequences: int
) -> None:
    """The engine works at every sequence, and after the hang-up at none, long before the end."""
    before = written(server)
    with asking(server, **more) as client:
        if "stream" in more:
            assert client.recv(1024)
        server.until(lambda: at_work(server) == sequences, LIMIT_S)
    server.until(lambda: at_work(server) == 0, LIMIT_S)
    assert written(server) - before < sequences * LONG


def test_a_hang_up_before_its_turn_never_reaches_the_engine(server: Server) -> None:
    """A rollout that waits for a place is gone from the queue, and the one at work goes on."""
    with asking(server, "rollout"):
        server.until(lambda: at_work(server) == 1, LIMIT_S)
        ended = begun(server)
        with asking(server, "rollout"):
            server.until(lambda: waiting(server) == 1, LIMIT_S)
        server.until(lambda: waiting(server) == 0, LIMIT_S)
        assert at_work(server) == 1
    server.until(lambda: at_work(server) == 0, LIMIT_S)
    server.until(lambda: server.metric("galen_server_requests_in_flight{") == 0, LIMIT_S)
    assert begun(server) - ended <= 1


def test_a_hang_up_at_the_gate_never_reaches_the_engine(server: Server) -> None:
    """While a version waits for an answer under way, so does a request; it may leave, and so may
    the one that both waited for."""
    folder = server.merged("after-hang-up", seed=21)
    with contextlib.ExitStack() as publishing:
        with asking(server, n=8):
            server.until(lambda: at_work(server) == 8, LIMIT_S)
            ended = begun(server)
            publishing.enter_context(_publishing(server, folder.name, str(folder)))
            before_it = _one_waits_and_hangs_up(server)
            server.until(lambda: waiting(server) == 0, LIMIT_S)
        server.until(lambda: _current(server) == folder.name, LIMIT_S)
    probes = 2
    assert begun(server) - ended <= 8 + probes + before_it


def test_a_slow_reader_holds_no_version_up(server: Server) -> None:
    """A stream of three that nobody reads is written to its end, and another version is loaded."""
    with asking(server, n=3, stream=True, max_tokens=300):
        server.until(lambda: at_work(server) == 3, LIMIT_S)
        answer = server.publish(server.merged("beside-a-slow-reader", seed=22))
        assert answer.status_code == 200, answer.text


@contextlib.contextmanager
def _publishing(server: Server, name: str, path: str) -> Iterator[None]:
    """A publication under way, whose answer nobody reads; the server goes on with it."""
    raw = json.dumps({"name": name, "path": path, "activate": True}).encode()
    head = "POST /policy/versions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    port = server.http.base_url.port
    with socket.create_connection(("127.0.0.1", port), timeout=LIMIT_S) as client:
        client.sendall(f"{head}Content-Length: {len(raw)}\r\n\r\n".encode() + raw)
        yield


def _one_waits_and_hangs_up(server: Server) -> int:
    """Send requests until one has to wait at the gate; the number of those before it."""
    sent = 0
    with contextlib.ExitStack() as stack:

        def one_waits() -> bool:
            nonlocal sent
            stack.enter_context(asking(server, max_tokens=1))
            sent += 1
            return waiting(server) > 0

        server.until(one_waits, LIMIT_S)
    return sent - 1


def _current(server: Server) -> str:
    return str(server.http.get("/policy").json()["current"])
