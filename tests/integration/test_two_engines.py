"""A gateway before two real vLLM engines that it did not start, and those engines by themselves."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from server.client import PolicyClient
from server.engines import auto
from server.engines.supervisor.launch import command, environment
from server.schemas import Sampling
from server.settings import ServerSettings
from tests.integration.real_server import (
    PROMPT_IDS,
    Server,
    free_port,
    gap,
    running,
    settings_for,
)

pytestmark = [pytest.mark.engine, pytest.mark.prove]

SERVED_NAME = "Qwen3-toy"


@dataclass
class BareEngine:
    """A vLLM as anybody may start one, on a port that stays."""

    settings: ServerSettings
    port: int
    process: subprocess.Popen[bytes]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def end(self) -> None:
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def start_anew(self) -> None:
        self.process = start(self.settings, self.port)

    def generated(self) -> float:
        """Tokens that it has written in this life."""
        lines = httpx.get(f"{self.url}/metrics", trust_env=False).text.splitlines()
        counts = [line for line in lines if line.startswith("vllm:generation_tokens_total")]
        return sum(float(line.rsplit(" ", 1)[1]) for line in counts)


def start(settings: ServerSettings, port: int) -> subprocess.Popen[bytes]:
    log, settings = settings.state.parent / f"engine-{port}.log", auto.resolved(settings)
    with log.open("ab") as out:
        return subprocess.Popen(
            over_tcp(command(settings, Path("socket"), SERVED_NAME), port),
            env=environment(settings),
            stdout=out,
            stderr=out,
            start_new_session=True,
        )


def over_tcp(words: list[str], port: int) -> list[str]:
    """The command line of an engine with a port in place of its socket."""
    at = words.index("--uds")
    return [*words[:at], *words[at + 2 :], "--host", "127.0.0.1", "--port", str(port)]


@contextmanager
def bare_engine(settings: ServerSettings) -> Iterator[BareEngine]:
    port = free_port()
    engine = BareEngine(settings, port, start(settings, port))
    try:
        yield engine
    finally:
        engine.end()


@dataclass
class Two:
    server: Server
    engines: tuple[BareEngine, BareEngine]

    def in_rotation(self) -> list[bool]:
        return [
            self.server.metric(f'galen_server_engine_ready{{engine="{each.url}"}}') == 1
            for each in self.engines
        ]


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Two]:
    settings = settings_for(tmp_path_factory.mktemp("two"))
    with ExitStack() as stack:
        engines = (
            stack.enter_context(bare_engine(settings)),
            stack.enter_context(bare_engine(settings)),
        )
        remote = settings.model_copy(update={"engines": tuple(each.url for each in engines)})
        server = stack.enter_context(running(remote))
        both = Two(server, engines)
        server.until(lambda: both.in_rotation() == [True, True])
        yield both


def test_requests_are_spread_over_both(two: Two) -> None:
    """Of many at once, each engine writes its part."""
    before = [engine.generated() for engine in two.engines]
    with ThreadPoolExecutor(16) as pool:
        prompts = [[*PROMPT_IDS, number] for number in range(1, 33)]
        answers = list(
            pool.map(
                lambda p: two.server.complete(prompt=p, max_tokens=16, ignore_eos=True), prompts
            )
        )
    assert {answer.status_code for answer in answers} == {200}
    written = [e.generated() - b for e, b in zip(two.engines, before, strict=True)]
    assert sum(written) == 32 * 16
    assert min(written) >= 8 * 16


def test_a_version_serves_on_both_and_an_engine_that_was_killed_catches_up(two: Two) -> None:
    """Its parity has passed on each; while one is away nobody is refused; it comes back with it."""
    server, (one, other) = two.server, two.engines
    answer = server.publish(server.merged("v1", seed=1))
    assert answer.status_code == 200, answer.text
    name, fingerprint = server.prompt_logprobs()
    assert name == "policy@v1"
    with ThreadPoolExecutor(8) as pool:
        asked = [
            pool.submit(server.complete, prompt=[*PROMPT_IDS, n], max_tokens=32)
            for n in range(1, 65)
        ]
        one.end()
        answers = [each.result() for each in asked]
    assert {(a.status_code, a.json()["model"]) for a in answers} == {(200, "policy@v1")}
    server.until(lambda: two.in_rotation() == [False, True], limit_s=30)
    one.start_anew()
    server.until(lambda: two.in_rotation() == [True, True])
    before = one.generated(), other.generated()
    prints = [server.prompt_logprobs()[1] for _ in range(4)]
    assert all(gap(fingerprint, each) < 0.001 for each in prints)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda n: server.complete(prompt=[n], max_tokens=16), range(1, 17)))
    assert one.generated() > before[0]
    assert other.generated() > before[1]


@pytest.mark.parametrize("through_gateway", [True, False])
async def test_the_rollout_client_works_with_and_without_a_gateway(
    two: Two, through_gateway: bool
) -> None:
    """Against a bare `vllm serve` it gets the same token ids and log-probabilities."""
    url = str(two.server.http.base_url) if through_gateway else two.engines[1].url
    model = "policy" if through_gateway else SERVED_NAME
    async with PolicyClient(url) as client:
        sampling = Sampling(max_tokens=8, temperature=0.0)
        drawn = await client.complete_tokens(PROMPT_IDS, sampling, model=model)
    assert len(drawn.token_ids) == len(drawn.logprobs) == 8
    assert drawn.version == (drawn.version if through_gateway else SERVED_NAME)
    assert all(value <= 0 for value in drawn.logprobs)
