"""Bad input to a server with a real engine: refused with a clear word, and the engine lives.

Every law is held against vLLM and against the simple engine.
"""

from __future__ import annotations

from typing import Any

import httpx
import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from schemathesis import Case, GenerationMode
from schemathesis.config import (
    GenerationConfig,
    ProjectConfig,
    ProjectsConfig,
    SchemathesisConfig,
)

from server.openapi import EXAMPLES as BODIES
from server.paths import CHAT, COMPLETIONS, DETOKENIZE, MESSAGES, RESPONSES, TOKENIZE
from tests.integration.real_server import Server

pytestmark = [pytest.mark.engine, pytest.mark.prove]

DRAWN = 20
"""Requests for each route and way to draw them."""
NOT_SPOKEN = 501
"""What the simple engine answers on the routes that it lacks."""
BOUNDS = {
    **{CHAT: "max_completion_tokens", COMPLETIONS: "max_tokens"},
    **{RESPONSES: "max_output_tokens", MESSAGES: "max_tokens"},
}
"""What bounds an answer, by route."""
RESTARTS = "galen_server_engine_restarts"
SECRET = "我的病历内容"
LONGEST_MESSAGE = 1500
"""Characters; more is no message but a dump."""
SAID = [{"role": "user", "content": "头痛"}]
CHAT_BODY = {"messages": SAID, "max_tokens": 1}
ASK = {"prompt": [1, 20], "max_tokens": 1}
SCHEMA = {"type": "object", "properties": {"a": {"type": "string"}}}


def schema(inner: Any) -> dict[str, Any]:
    return {"type": "json_schema", "json_schema": {"name": "a", "schema": inner}}


def tool(**changed: Any) -> dict[str, Any]:
    return {"type": "function", "function": {"name": "a", "parameters": SCHEMA, **changed}}


BAD = {
    "a prompt beyond the context": (COMPLETIONS, {"prompt": "头痛" * 3000}),
    "token ids beyond the context": (COMPLETIONS, {"prompt": [1] * 5000}),
    "a chat beyond the context": (CHAT, {"messages": [{"role": "user", "content": "痛" * 9000}]}),
    "a token beyond the vocabulary": (COMPLETIONS, {"prompt": [1, 5000]}),
    "a token beyond 31 bits": (COMPLETIONS, {"prompt": [2**31]}),
    "a token beyond 63 bits": (COMPLETIONS, {"prompt": [2**63]}),
    "a token below nothing": (COMPLETIONS, {"prompt": [-1]}),
    "half a token": (COMPLETIONS, {"prompt": [1.5]}),
    "a token that is a word": (COMPLETIONS, {"prompt": [1, "a"]}),
    "no prompt": (COMPLETIONS, {"prompt": None}),
    "an empty prompt": (COMPLETIONS, {"prompt": ""}),
    "no tokens": (COMPLETIONS, {"prompt": []}),
    "one prompt without tokens": (COMPLETIONS, {"prompt": [[]]}),
    "a prompt that is an object": (COMPLETIONS, {"prompt": {"a": SECRET}}),
    "no tokens to write": (COMPLETIONS, {"max_tokens": 0}),
    "fewer tokens than none": (COMPLETIONS, {"max_tokens": -1}),
    "more tokens than fit": (COMPLETIONS, {"max_tokens": 10**9}),
    "more tokens than a number": (COMPLETIONS, {"max_tokens": 2**70}),
    "half a token to write": (COMPLETIONS, {"max_tokens": 1.5}),
    "tokens to write as a word": (COMPLETIONS, {"max_tokens": SECRET}),
    "a chat without a word to write": (CHAT, {"max_tokens": 0}),
    "a chat with fewer words than none": (CHAT, {"max_tokens": -1}),
    "no messages": (CHAT, {"messages": []}),
    "messages that are a word": (CHAT, {"messages": SECRET}),
    "a message that is a word": (CHAT, {"messages": [SECRET]}),
    "a message that is nothing": (CHAT, {"messages": [{}]}),
    "an answer to no call": (CHAT, {"messages": [{"role": "assistant", "tool_calls": SECRET}]}),
    "a picture": (
        CHAT,
        {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {}}]}]},
    ),
    "a schema of no type": (CHAT, {"response_format": schema({"type": "nonsense"})}),
    "a schema that refers nowhere": (CHAT, {"response_format": schema({"$ref": "#/none"})}),
    "a schema that is a word": (CHAT, {"response_format": schema(SECRET)}),
    "a format without its schema": (CHAT, {"response_format": {"type": "json_schema"}}),
    "a format of no kind": (CHAT, {"response_format": {"type": SECRET}}),
    "a format that is a word": (CHAT, {"response_format": SECRET}),
    "a pattern that is none": (CHAT, {"structured_outputs": {"regex": "((("}}),
    "outputs that are a number": (CHAT, {"structured_outputs": 5}),
    "tools that are a word": (CHAT, {"tools": SECRET}),
    "a tool without a name": (CHAT, {"tools": [{"type": "function", "function": {}}]}),
    "a tool whose parameters are a word": (CHAT, {"tools": [tool(parameters=SECRET)]}),
    "a choice of a tool that is not there": (
        CHAT,
        {"tools": [tool()], "tool_choice": {"type": "function", "function": {"name": "b"}}},
    ),
    "a number beyond all": (COMPLETIONS, {"top_k": 2**70}),
    "no samples": (COMPLETIONS, {"n": 0}),
    "a thousand samples": (COMPLETIONS, {"n": 1000}),
    "heat below nothing": (COMPLETIONS, {"temperature": -1}),
    "a share of nothing": (COMPLETIONS, {"top_p": 0}),
    "too many log-probabilities": (COMPLETIONS, {"logprobs": 1000}),
    "a bias of a token that is none": (COMPLETIONS, {"logit_bias": {"99999": 1}}),
    "a bias of a word": (COMPLETIONS, {"logit_bias": {SECRET: 1}}),
    "an unknown version": (COMPLETIONS, {"model": "policy@none"}),
    "an unknown model": (CHAT, {"model": SECRET}),
    "tensors": (COMPLETIONS, {"prompt_embeds": "AAAA"}),
    "a template": (CHAT, {"chat_template": "{{ 1 }}"}),
    "a template inside": (CHAT, {"chat_template_kwargs": {"chat_template": "{{ 1 }}"}}),
    "a text that is a number": (TOKENIZE, {"prompt": 5}),
    "a token that is below nothing": (DETOKENIZE, {"tokens": [-1]}),
    "tokens that are a word": (DETOKENIZE, {"tokens": SECRET}),
    "an input that is a number": (RESPONSES, {"input": 5}),
    "a message of Anthropic's that is a word": (MESSAGES, {"messages": SECRET}),
}


@pytest.mark.parametrize("what", BAD)
def test_bad_input_is_refused_with_a_clear_word(server: Server, what: str) -> None:
    """4xx in the shape that the client reads; nothing of what it sent is repeated at length, and
    the next request is answered."""
    path, change = BAD[what]
    restarts = server.metric(RESTARTS)
    body = {COMPLETIONS: ASK, CHAT: CHAT_BODY}.get(path, {"model": "policy", "max_tokens": 1})
    answer = server.http.post(path, json=body | change)
    assert 400 <= answer.status_code < 500 or answer.status_code == NOT_SPOKEN, answer.text
    message = answer.json()["error"]["message"]
    assert 0 < len(message) < LONGEST_MESSAGE
    # The engine refuses with 400, in its own words, which may repeat the input.
    is_ours = answer.status_code != 400
    assert what == "an unknown model" or SECRET not in message or not is_ours
    assert "pydantic" not in message and "Traceback" not in message
    assert server.complete().status_code == 200
    assert server.metric(RESTARTS) == restarts


def test_what_the_document_gives_as_an_example_is_answered(server: Server) -> None:
    """Every route's; a person copies it."""
    for path, body in BODIES.items():
        answer = server.http.post(path, json=body)
        assert answer.status_code in (200, NOT_SPOKEN), (path, answer.text)


@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE])
@pytest.mark.parametrize("path", sorted(BODIES))
def test_no_request_drawn_from_the_document_breaks_the_engine(
    server: Server, path: str, mode: GenerationMode
) -> None:
    """No 5xx, and the engine that began is the one that ends."""
    project = ProjectConfig(generation=GenerationConfig(modes=[mode], allow_x00=False))
    config = SchemathesisConfig(projects=ProjectsConfig(default=project))
    document = server.http.get("/openapi.json").json()
    operation = schemathesis.openapi.from_dict(document, config=config)[path]["post"]

    @seed(20261121)
    @settings(
        max_examples=DRAWN,
        database=None,
        deadline=None,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy(generation_mode=mode))
    def ask(case: Case) -> None:
        answer = send(server, case)
        assert answer.status_code < 500 or answer.status_code == NOT_SPOKEN, answer.text
        assert answer.is_success or answer.json()["error"]["message"]

    restarts = server.metric(RESTARTS)
    ask()
    assert server.is_ready()
    assert server.metric(RESTARTS) == restarts


def send(server: Server, case: Case) -> httpx.Response:
    """Over the wire; answers are kept short."""
    if isinstance(case.body, dict):
        if isinstance(case.body.get("n"), int):
            case.body["n"] = min(case.body["n"], 4)
        if bound := BOUNDS.get(case.path):
            asked = case.body.get(bound, 4)
            case.body[bound] = min(asked, 4) if isinstance(asked, int) else asked
    address = str(server.http.base_url)
    sent = requests.Request(**case.as_transport_kwargs(address)).prepare()
    return server.http.request(
        str(sent.method), str(sent.url), headers=dict(sent.headers), content=sent.body or b""
    )
