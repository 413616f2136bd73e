"""A policy server in a process of its own, killed in the middle of a batch."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
import yaml
from openai import AsyncOpenAI
from openai.types import Batch

from server.batches.schemas import ENDED
from server.batches.service import PLACES
from tests.fakes.engine import Hold, write_base
from tests.fakes.remote_engine import RemoteFakeEngine
from tests.server.batches.bench import line

ROOT = Path(__file__).parents[2]
LINES = 200
ANSWERED = 60


@dataclass
class Gateway:
    """`galen server serve` in a process, before an engine that outlives it."""

    url: str
    process: subprocess.Popen[bytes]
    log: Path

    async def ready(self) -> None:
        async with httpx.AsyncClient(base_url=self.url, timeout=None, trust_env=False) as client:
            while True:
                assert self.process.poll() is None, self.log.read_text("utf-8")
                try:
                    if (await client.get("/readyz")).status_code == 200:
                        return
                except httpx.ConnectError:
                    pass  # it has not begun to listen
                await asyncio.sleep(0.05)

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def client(self) -> AsyncOpenAI:
        return AsyncOpenAI(base_url=f"{self.url}/v1", api_key="none", max_retries=0)


@pytest.fixture
async def engine(tmp_path: Path) -> AsyncIterator[RemoteFakeEngine]:
    engine = RemoteFakeEngine(write_base(tmp_path / "base"))
    async with engine.serving():
        yield engine


@pytest.fixture
def start(engine: RemoteFakeEngine, tmp_path: Path) -> Iterator[Callable[[], Gateway]]:
    """Starts gateways, one after the other, on one folder."""
    made: list[Gateway] = []

    def make() -> Gateway:
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        settings = {"model": str(tmp_path / "base"), "port": port, "engines": [engine.base_url]}
        stack, log = tmp_path / "stack.yaml", tmp_path / f"gateway{len(made)}.log"
        stack.write_text(yaml.safe_dump({"name": "t", "server": settings}), "utf-8")
        with log.open("wb") as file:
            process = subprocess.Popen(
                [sys.executable, "-m", "cli.main", "server", "serve", str(stack)],
                cwd=tmp_path,
                env={**os.environ, "PYTHONPATH": str(ROOT), "GALEN_KEYS": ""},
                stdout=file,
                stderr=file,
            )
        made.append(Gateway(f"http://127.0.0.1:{port}", process, log))
        return made[-1]

    yield make
    for gateway in made:
        if gateway.process.poll() is None:
            gateway.kill()


async def begin(client: AsyncOpenAI) -> Batch:
    content = "".join(line(f"q{n}") + "\n" for n in range(LINES)).encode()
    file = await client.files.create(file=("in.jsonl", content), purpose="batch")
    return await client.batches.create(
        input_file_id=file.id, endpoint="/v1/completions", completion_window="24h"
    )


async def ended(client: AsyncOpenAI, batch_id: str) -> Batch:
    while True:
        batch = await client.batches.retrieve(batch_id)
        if batch.status in ENDED:
            return batch
        await asyncio.sleep(0.05)


def asked(engine: RemoteFakeEngine) -> Counter[str]:
    """How often each line was asked; what else came are probes, of token ids."""
    prompts = (body["prompt"] for path, body in engine.calls if path == "/v1/completions")
    return Counter(prompt for prompt in prompts if isinstance(prompt, str))


def on_disk(tmp_path: Path, batch_id: str) -> set[str]:
    """The lines whose results are whole on disk."""
    kept = (tmp_path / f".galen/server/batches/{batch_id}.jsonl").read_bytes()
    whole = kept[: kept.rfind(b"\n") + 1].splitlines()[1:]
    return {json.loads(entry.split(b" ", 2)[2])["custom_id"] for entry in whole}


@pytest.mark.parametrize(
    "calm",
    [
        pytest.param(True, id="while-the-engine-is-slow"),
        pytest.param(False, id="in-full-flow", marks=pytest.mark.prove),
    ],
)
async def test_kill_9_loses_no_answer_and_asks_for_none_twice(
    start: Callable[[], Gateway], engine: RemoteFakeEngine, tmp_path: Path, calm: bool
) -> None:
    """In the middle of its lines; the next server ends the batch by itself.

    What was on disk is never asked again. Only what was under way is: nobody heard its answer.
    """
    holds = [Hold() for _ in range(ANSWERED + PLACES)]
    for hold in holds[: ANSWERED if calm else None]:
        hold.release.set()
    gateway = start()
    await gateway.ready()
    engine.enqueue("/v1/completions", *holds)
    async with gateway.client() as client:
        begun = await begin(client)
        await asyncio.gather(*(hold.arrived.wait() for hold in holds))
        while calm and len(on_disk(tmp_path, begun.id)) < ANSWERED:  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    gateway.kill()
    known = on_disk(tmp_path, begun.id)

    again = start()
    await again.ready()
    async with again.client() as client:
        batch = await ended(client, begun.id)
        content = (await client.files.content(str(batch.output_file_id))).text
    rows = [json.loads(row) for row in content.splitlines()]
    times = asked(engine)
    twice = {name for name, count in times.items() if count > 1}

    assert (batch.status, batch.error_file_id) == ("completed", None)
    assert [row["custom_id"] for row in rows] == [f"q{n}" for n in range(LINES)]
    assert {times[name] for name in known} == {1}
    assert times.total() == LINES + len(twice)
    assert len(twice) <= PLACES
    if calm:
        assert (len(known), len(twice)) == (ANSWERED, PLACES)
