"""Text completions through the `openai` SDK, and the model names that a request may use."""

from __future__ import annotations

from typing import Any

import openai
import pytest

from tests.integration.real_server import KEYS
from tests.integration.sdk.clients import Clients

pytestmark = pytest.mark.engine


def test_text_completions_whole_and_streamed(clients: Clients) -> None:
    """The older API: text after a prompt, with log-probabilities and several choices."""
    body: dict[str, Any] = {"model": "policy", "prompt": "患者", "max_tokens": 12, "seed": 4}
    body["extra_body"] = {"ignore_eos": True}
    answer = clients.openai.completions.create(**body, logprobs=0)
    assert (answer.object, answer.model) == ("text_completion", "policy@base")
    assert len(answer.choices[0].logprobs.token_logprobs) == answer.usage.completion_tokens == 12
    chunks = clients.openai.completions.create(**body, stream=True)
    assert "".join(chunk.choices[0].text for chunk in chunks) == answer.choices[0].text
    several = clients.openai.completions.create(**{**body, "prompt": ["患者", "头痛"]}, n=2)
    assert len(several.choices) == 4


async def test_the_async_client_streams_as_well(clients: Clients) -> None:
    """Several streams at once over one client, each its own answer."""
    http = openai.DefaultAsyncHttpxClient(trust_env=False)
    async with openai.AsyncOpenAI(
        base_url=f"{clients.url}/v1", api_key=KEYS["rollout"], http_client=http, max_retries=0
    ) as client:
        streams = [
            await client.completions.create(
                model="policy", prompt="患者", max_tokens=12, seed=seed, stream=True
            )
            for seed in (1, 2, 1)
        ]
        one, other, same = [
            "".join([chunk.choices[0].text async for chunk in stream]) for stream in streams
        ]
    assert one == same != other


def test_the_models_are_those_that_may_be_asked_for(clients: Clients) -> None:
    """The list, and each of it by its name."""
    listed = [model.id for model in clients.openai.models.list()]
    assert listed == ["policy", "base", "policy@base"]
    assert clients.openai.models.retrieve("policy@base").owned_by == "galen"
    with pytest.raises(openai.NotFoundError):
        clients.openai.models.retrieve("gpt-4")


def test_a_version_is_asked_for_by_its_name(clients: Clients) -> None:
    """`policy@<version>`; one that is not loaded is not found, and the message says so."""
    published = clients.server.publish(clients.server.merged("by-name", seed=1))
    assert published.status_code == 200, published.text
    try:
        assert clients.chat(model="policy").model == "policy@by-name"
        assert clients.chat(model="policy@by-name").model == "policy@by-name"
        with pytest.raises(openai.NotFoundError, match="not loaded"):
            clients.chat(model="policy@base")
    finally:
        clients.server.activate("base")
