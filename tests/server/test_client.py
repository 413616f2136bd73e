"""The client that the trainer and the web page use, against the real gateway."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import AsyncIterator

import httpx
import pytest

from galen.errors import InvalidInput, NotFound, UpstreamFailed, VersionRefused
from server.client import PolicyClient
from server.gateway.request import ROLLOUT_PRIORITY
from server.schemas import Sampling
from tests.fakes.engine import HeldStream, write_version
from tests.server.harness import Running

SAMPLING = Sampling(max_tokens=3, seed=1)


@pytest.fixture
async def client(running: Running) -> AsyncIterator[PolicyClient]:
    async with PolicyClient(str(running.http.base_url)) as client:
        yield client


async def test_completions_by_token_ids_name_their_version(
    running: Running, client: PolicyClient
) -> None:
    """Ids, log-probabilities and the version that wrote them; sampling that leaves ratios exact."""
    await client.publish("v1", write_version(running.versions, "v1", -2.0))
    completion = await client.complete_tokens([5, 6], SAMPLING)
    assert completion.version == "v1"
    assert completion.token_ids == (7, 7, 7)
    assert completion.logprobs == (-2.0, -2.0, -2.0)
    _, sent = running.engine.calls[-1]
    assert (sent["prompt"], sent["top_p"], sent["top_k"], sent["temperature"]) == ([5, 6], 1, 0, 1)
    assert sent["priority"] == ROLLOUT_PRIORITY, "rollouts go behind people without a key, too"


async def test_an_answer_without_tokens_is_no_completion(
    running: Running, client: PolicyClient
) -> None:
    """An engine that does not return token ids cannot be learnt from."""
    running.engine.returns_tokens = False
    with pytest.raises(UpstreamFailed):
        await client.complete_tokens([5, 6], SAMPLING)


async def test_versions_can_be_published_rolled_back_and_deleted(
    running: Running, client: PolicyClient
) -> None:
    """Every admin call answers with the state that it leaves."""
    folder = write_version(running.versions, "v1", -2.0)
    assert (await client.publish("v1", folder)).current == "v1"
    assert (await client.activate("base")).current == "base"
    assert [card.name for card in (await client.delete("v1")).versions] == ["base"]
    assert (await client.policy()).current == "base"
    assert await client.is_ready()


async def test_refusals_are_typed(running: Running, client: PolicyClient) -> None:
    """What the server refuses arrives as the error that describes it."""
    bad = write_version(running.versions, "bad", -2.0, published=-3.0)
    with pytest.raises(VersionRefused, match=r"1\.0000 nat"):
        await client.publish("bad", bad)
    with pytest.raises(NotFound, match="no model"):
        await client.complete_tokens([5], SAMPLING, model="gpt-4")
    with pytest.raises(InvalidInput):
        await client.publish("v1", running.versions / "nowhere")


async def test_leaving_a_chat_stream_ends_the_generation(
    running: Running, client: PolicyClient
) -> None:
    """Closing the iterator reaches the engine through the gateway."""
    stream = HeldStream()
    running.engine.enqueue("/v1/chat/completions", stream)
    chunks = client.chat_stream({"messages": []})
    assert (await anext(chunks))["model"] == "policy@base"
    await chunks.aclose()
    await stream.hung_up.wait()


@pytest.mark.parametrize("line", ["{", "[1]", "null", "<html>"])
async def test_a_stream_of_something_else_is_named(line: str) -> None:
    """Whatever answers there, it is no policy server; what it said is not repeated."""
    content = f"data: {line}\n\n".encode()
    transport = httpx.MockTransport(lambda _: httpx.Response(200, content=content))
    async with PolicyClient("http://elsewhere", transport=transport) as client:
        with pytest.raises(UpstreamFailed, match="http://elsewhere streamed"):
            await anext(client.chat_stream({"messages": []}))


def test_the_client_loads_nothing_heavy() -> None:
    """The trainer and the page import it without FastAPI, aiohttp, torch or vLLM."""
    code = (
        "import sys, server.client\n"
        "print([m for m in ('fastapi', 'aiohttp', 'torch', 'vllm') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
