"""Refusals, keys and limits as both SDKs raise them: with a class, a code and a field."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import anthropic
import openai
import pytest

from tests.integration.real_server import KEYS, SLOW_KEY
from tests.integration.sdk.clients import ASK, Clients

pytestmark = pytest.mark.engine

Ask = Callable[[Clients], Any]
TOO_LONG = [{"role": "user", "content": "x" * 3000}]
BAD_SCHEMA = {"name": "x", "schema": {"type": "nonsense"}}
ERRORS: dict[str, tuple[Ask, type[openai.APIStatusError], set[str | None], str]] = {
    "no tokens": (
        lambda c: c.chat(max_tokens=0),
        openai.BadRequestError,
        {"max_tokens"},
        "invalid_request",
    ),
    "wrong type": (
        lambda c: c.chat(temperature="hot"),
        openai.BadRequestError,
        {"temperature", "body.temperature"},
        "invalid_request",
    ),
    "too long": (
        lambda c: c.chat(messages=TOO_LONG),
        openai.BadRequestError,
        {"input_tokens"},
        "context_length_exceeded",
    ),
    "bad schema": (
        lambda c: c.chat(response_format={"type": "json_schema", "json_schema": BAD_SCHEMA}),
        openai.BadRequestError,
        {None, "response_format"},  # the simple engine names it
        "invalid_request",
    ),
    "no character": (
        lambda c: c.chat(messages=[{"role": "user", "content": "a\0b"}]),
        openai.UnprocessableEntityError,
        {"messages.0.content"},
        "invalid_request",
    ),
    "unknown model": (
        lambda c: c.chat(model="gpt-4"),
        openai.NotFoundError,
        {"model"},
        "not_found",
    ),
    "unknown route": (
        lambda c: c.openai.embeddings.create(model="policy", input="x"),
        openai.NotFoundError,
        {None},
        "not_found",
    ),
    "unknown key": (
        lambda c: c.openai_with("no-such-key").models.list(),
        openai.AuthenticationError,
        {None},
        "unauthorized",
    ),
    "not allowed": (
        lambda c: c.openai.post(f"{c.url}/policy/activate", cast_to=object, body={"name": "base"}),
        openai.PermissionDeniedError,
        {None},
        "forbidden",
    ),
}


@pytest.mark.parametrize("case", ERRORS)
def test_errors_have_the_class_that_the_sdk_has_for_them(clients: Clients, case: str) -> None:
    """With a word for a code, a type of OpenAI's, and the field where there is one."""
    ask, kind, params, code = ERRORS[case]
    with pytest.raises(kind) as caught:
        ask(clients)
    error = caught.value
    assert type(error) is kind
    assert (error.type, error.code) == ("invalid_request_error", code)
    assert error.param in params
    assert isinstance(error.body, dict) and isinstance(error.body["code"], str)
    assert error.request_id


def test_a_stream_that_is_refused_raises_the_sdks_error(clients: Clients) -> None:
    """Whether before it begins or after."""
    schema = {"type": "json_schema", "json_schema": BAD_SCHEMA}
    with pytest.raises(openai.APIError):
        list(clients.chat(response_format=schema, stream=True))


def test_a_key_that_asks_too_often_is_told_when_to_come_back(clients: Clients) -> None:
    """The SDK's own class for it, with the header by which the SDK waits."""
    slow = clients.openai_with(SLOW_KEY)
    with pytest.raises(openai.RateLimitError) as caught:
        for _ in range(2):
            slow.completions.create(model="policy", prompt="x", max_tokens=1)
    assert caught.value.code == "overloaded"
    assert int(caught.value.response.headers["Retry-After"]) >= 1


THEIR_ERRORS: dict[str, tuple[Ask, type[anthropic.APIStatusError], str]] = {
    "no tokens": (
        lambda c: c.message(max_tokens=0),
        anthropic.BadRequestError,
        "invalid_request_error",
    ),
    "too long": (
        lambda c: c.message(messages=TOO_LONG),
        anthropic.BadRequestError,
        "invalid_request_error",
    ),
    "no character": (
        lambda c: c.message(messages=[{"role": "user", "content": "a\0b"}]),
        anthropic.UnprocessableEntityError,
        "invalid_request_error",
    ),
    "unknown model": (
        lambda c: c.message(model="claude"),
        anthropic.NotFoundError,
        "not_found_error",
    ),
    "unknown route": (
        lambda c: c.anthropic.messages.batches.list(),
        anthropic.NotFoundError,
        "not_found_error",
    ),
    "unknown key": (
        lambda c: c.anthropic_with(api_key="no-such-key").messages.count_tokens(
            model="policy", messages=ASK
        ),
        anthropic.AuthenticationError,
        "authentication_error",
    ),
}


@pytest.mark.parametrize("case", THEIR_ERRORS)
def test_anthropics_errors_have_their_class_and_name(clients: Clients, case: str) -> None:
    """Galen's own and the engine's, each with the request's id."""
    ask, kind, name = THEIR_ERRORS[case]
    with pytest.raises(kind) as caught:
        ask(clients)
    error = caught.value
    assert type(error) is kind
    assert (error.type, error.body["type"]) == (name, "error")
    assert error.api_message
    assert error.request_id


def test_anthropics_client_may_send_its_key_as_a_bearer(clients: Clients) -> None:
    """As it does when it is given a token in place of a key."""
    client = clients.anthropic_with(auth_token=KEYS["user"])
    counted = client.messages.count_tokens(model="policy", messages=ASK)
    assert counted.input_tokens > 0
