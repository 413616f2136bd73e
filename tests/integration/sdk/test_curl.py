"""The server from a shell, as the README shows it."""

from __future__ import annotations

import json

import pytest

from tests.integration.real_server import KEYS
from tests.integration.sdk.clients import ASK, Clients, curl

pytestmark = pytest.mark.engine


def test_curl_streams_an_answer(clients: Clients) -> None:
    """As the README shows it: no content type, no model, events until `[DONE]`."""
    body = {"messages": ASK, "max_tokens": 8, "stream": True}
    key = f"Authorization: Bearer {KEYS['user']}"
    said = curl(
        "-N", f"{clients.url}/v1/chat/completions", "-H", key, "-d", json.dumps(body)
    ).strip()
    *events, done = said.split("\n\n")
    assert done == "data: [DONE]"
    chunks = [json.loads(event.removeprefix("data: ")) for event in events]
    assert {chunk["model"] for chunk in chunks} == {"policy@base"}


def test_curl_sees_the_version_and_the_error(clients: Clients) -> None:
    """The header beside the answer; without a key an error that says what to send."""
    url = f"{clients.url}/v1/completions"
    body = '{"prompt":[1,20,33],"max_tokens":2,"ignore_eos":true}'
    answer = curl("-i", url, "-H", f"x-api-key: {KEYS['rollout']}", "-d", body)
    head, _, text = answer.replace("\r", "").partition("\n\n")
    assert "x-policy-version: base" in head.lower()
    assert json.loads(text)["usage"]["completion_tokens"] == 2
    refused = json.loads(curl(url, "-d", body))
    assert refused["error"]["code"] == "unauthorized"
    assert "Authorization: Bearer" in refused["error"]["message"]
