"""What real clients make of the server: OpenAI's and Anthropic's SDKs and curl, with keys on.

The server and its engine are those that an operator starts; the model is a toy that writes at
random, so what is tested is never what it says. Each engine starts once.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any, Literal

import anthropic
import openai
import pytest
from pydantic import BaseModel

from server.settings import EngineSettings
from tests.integration.real_server import VLLM_FIRST, running, settings_for
from tests.integration.sdk_clients import (
    ASK,
    CALL_TOKENS,
    FLAT_TOOL,
    KEY_LINES,
    KEYS,
    NO_THINKING,
    PLAIN,
    SLOW_KEY,
    THEIR_TOOL,
    TOOL,
    Clients,
    curl,
)

pytestmark = pytest.mark.engine


class Place(BaseModel):
    city: Literal["a", "b"]
    far: bool


@pytest.fixture(scope="module", params=VLLM_FIRST)
def clients(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Clients]:
    engine = EngineSettings(backend=request.param)
    settings = settings_for(tmp_path_factory.mktemp("sdk"), engine=engine)
    with (
        running(settings, key_lines=KEY_LINES, key=KEYS["admin"]) as server,
        ExitStack() as stack,
    ):
        yield Clients(server, request.param, stack)


def test_a_chat_completion_names_its_version_and_its_request(clients: Clients) -> None:
    """The model in the body, the version in a header, the caller's id as the SDK gives it back."""
    answer = clients.chat(extra_headers={"X-Request-Id": "my-request-7"})
    assert (answer.object, answer.model, answer._request_id) == (
        "chat.completion",
        "policy@base",
        "my-request-7",
    )
    assert answer.choices[0].message.role == "assistant"
    assert answer.choices[0].message.content
    assert answer.choices[0].finish_reason == "length"
    assert answer.usage.completion_tokens == 8
    raw = clients.openai.chat.completions.with_raw_response.create(
        model="policy", messages=ASK, max_tokens=1
    )
    assert raw.headers["X-Policy-Version"] == "base"
    assert raw.parse().model == "policy@base"


def test_a_stream_is_the_same_answer_in_pieces(clients: Clients) -> None:
    """Its pieces are the whole answer's text, each names the version, and usage comes last."""
    whole = clients.chat(max_tokens=24, seed=5)
    options = {"include_usage": True}
    stream = list(clients.chat(max_tokens=24, seed=5, stream=True, stream_options=options))
    *chunks, last = stream
    said = "".join(choice.delta.content or "" for chunk in chunks for choice in chunk.choices)
    assert said == whole.choices[0].message.content
    assert len(chunks) > 3
    assert {chunk.model for chunk in stream} == {"policy@base"}
    assert (last.choices, last.usage.completion_tokens) == ([], 24)
    assert chunks[-1].choices[0].finish_reason == "length"


def test_reasoning_has_both_its_names(clients: Clients) -> None:
    """`reasoning`, and `reasoning_content` for older clients, whole and in a stream's deltas."""
    thinking = {"max_tokens": 24, "seed": 3, "extra_body": {"ignore_eos": True}}
    message = clients.chat(**thinking).choices[0].message.model_extra
    assert message["reasoning"]
    assert message["reasoning_content"] == message["reasoning"]
    deltas = [
        chunk.choices[0].delta.model_extra or {}
        for chunk in clients.chat(**thinking, stream=True)
        if chunk.choices
    ]
    pairs = [(delta.get("reasoning"), delta.get("reasoning_content")) for delta in deltas]
    assert all(one == other for one, other in pairs)
    assert "".join(one or "" for one, _ in pairs) == message["reasoning"]


def test_reasoning_may_be_sent_back_under_both_names(clients: Clients) -> None:
    """What a client got it may return in a turn with tools, and the model reads it."""

    def prompt_tokens(**reasoning: str) -> int:
        turn = {"role": "assistant", "content": "好", **reasoning}
        return int(clients.chat(messages=[*ASK, turn]).usage.prompt_tokens)

    without = prompt_tokens()
    assert prompt_tokens(reasoning="想想") == prompt_tokens(reasoning_content="想想") > without


def test_a_stream_that_is_closed_early_ends_its_generation(clients: Clients) -> None:
    """The engine's count of running requests falls to nothing long before the answer's end."""
    before = clients.server.metric("vllm:generation_tokens_total")
    stream = clients.chat(max_tokens=900, stream=True)
    next(iter(stream))
    stream.close()
    clients.server.until(
        lambda: clients.server.metric("vllm:num_requests_running") == 0, limit_s=60
    )
    assert clients.server.metric("vllm:generation_tokens_total") - before < 800


def test_log_probabilities_come_for_each_token(clients: Clients) -> None:
    """As many as tokens were written, each with the asked number of the likeliest."""
    answer = clients.chat(logprobs=True, top_logprobs=3)
    tokens = answer.choices[0].logprobs.content
    assert len(tokens) == answer.usage.completion_tokens
    for token in tokens:
        assert len(token.top_logprobs) == 3
        assert 0 >= max(likely.logprob for likely in token.top_logprobs) >= token.logprob


def test_several_answers_to_one_question_differ(clients: Clients) -> None:
    """`n` choices, numbered, drawn apart."""
    answer = clients.chat(n=3, max_tokens=16)
    assert sorted(choice.index for choice in answer.choices) == [0, 1, 2]
    assert len({choice.message.content for choice in answer.choices}) == 3


def test_a_seed_fixes_the_text(clients: Clients) -> None:
    """The same seed, the same text; another, another."""
    one, same, other = (
        clients.chat(max_tokens=16, seed=seed).choices[0].message.content for seed in (7, 7, 8)
    )
    assert one == same != other


def test_an_answer_ends_where_a_stop_word_begins(clients: Clients) -> None:
    """It is not part of the answer, and the reason says so."""
    text = clients.chat(max_tokens=40, seed=9).choices[0].message.content
    stop = next(letter for letter in text[3:] if letter not in text[:3] and letter.isprintable())
    choice = clients.chat(max_tokens=40, seed=9, stop=[stop]).choices[0]
    assert choice.message.content == text.partition(stop)[0]
    assert choice.finish_reason == "stop"


def test_text_completions_whole_and_streamed(clients: Clients) -> None:
    """The older API: text after a prompt, with log-probabilities and several choices."""
    body: dict[str, Any] = {"model": "policy", "prompt": "患者", "max_tokens": 12, "seed": 4}
    body["extra_body"] = {"ignore_eos": True}
    answer = clients.openai.completions.create(**body, logprobs=2)
    assert (answer.object, answer.model) == ("text_completion", "policy@base")
    assert len(answer.choices[0].logprobs.token_logprobs) == answer.usage.completion_tokens == 12
    chunks = clients.openai.completions.create(**body, stream=True)
    assert "".join(chunk.choices[0].text for chunk in chunks) == answer.choices[0].text
    several = clients.openai.completions.create(**{**body, "prompt": ["患者", "头痛"]}, n=2)
    assert len(several.choices) == 4


def test_structured_output_fits_its_schema(clients: Clients) -> None:
    """The SDK makes the schema of a class and an object of the answer."""
    answer = clients.openai.chat.completions.parse(
        model="policy",
        messages=ASK,
        response_format=Place,
        max_tokens=600,
        seed=1,
        extra_body=NO_THINKING,
    )
    place = answer.choices[0].message.parsed
    assert isinstance(place, Place)


NAMED = {"type": "function", "function": {"name": "weather"}}


@pytest.mark.parametrize("choice", [NAMED, "required"])
def test_a_forced_call_fits_its_schema(clients: Clients, choice: Any) -> None:
    """The tool that is named or the only one there is, called with what its schema allows."""
    forced = {"tools": [TOOL], "tool_choice": choice, "extra_body": NO_THINKING}
    answer = clients.chat(**forced, max_tokens=CALL_TOKENS, seed=1)
    message = answer.choices[0].message
    for call in message.tool_calls:
        assert call.function.name == "weather"
        assert json.loads(call.function.arguments)["city"] in ("a", "b")


def test_a_streamed_call_is_put_together_by_the_sdk(clients: Clients) -> None:
    """Its name and arguments come in pieces that make a call which fits the schema."""
    with clients.openai.chat.completions.stream(
        model="policy",
        messages=ASK,
        tools=[TOOL],
        tool_choice=NAMED,
        max_tokens=CALL_TOKENS,
        seed=1,
        extra_body=NO_THINKING,
    ) as stream:
        call = stream.get_final_completion().choices[0].message.tool_calls[0]
    assert call.function.name == "weather"
    assert json.loads(call.function.arguments)["city"] in ("a", "b")


def test_the_result_of_a_call_is_read(clients: Clients) -> None:
    """The model goes on after the turns of a call and its result; they are part of the prompt."""
    function = {"name": "weather", "arguments": '{"city": "a"}'}
    call = {"id": "call_1", "type": "function", "function": function}
    turns = [
        *ASK,
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "call_1", "content": "晴"},
    ]
    asked = clients.chat(tools=[TOOL], messages=ASK)
    answer = clients.chat(tools=[TOOL], messages=turns)
    assert answer.choices[0].finish_reason in ("length", "stop", "tool_calls")
    assert answer.usage.prompt_tokens > asked.usage.prompt_tokens + 20


def test_the_models_are_those_that_may_be_asked_for(clients: Clients) -> None:
    """The list, and each of it by its name."""
    listed = [model.id for model in clients.openai.models.list()]
    assert listed == ["policy", "base", "policy@base"]
    assert clients.openai.models.retrieve("policy@base").owned_by == "galen"
    with pytest.raises(openai.NotFoundError):
        clients.openai.models.retrieve("gpt-4")


def test_a_version_is_asked_for_by_its_name(clients: Clients) -> None:
    """`policy@<version>`; one that is not loaded is not found, and the message says so."""
    published = clients.server.publish(clients.server.merged("v1", seed=1))
    assert published.status_code == 200, published.text
    try:
        assert clients.chat(model="policy").model == "policy@v1"
        assert clients.chat(model="policy@v1").model == "policy@v1"
        with pytest.raises(openai.NotFoundError, match="not loaded"):
            clients.chat(model="policy@base")
    finally:
        clients.server.activate("base")


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
        {"temperature"},
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
    """Whether before it begins or after: with words for a type and a code."""
    schema = {"type": "json_schema", "json_schema": BAD_SCHEMA}
    with pytest.raises(openai.APIError) as caught:
        list(clients.chat(response_format=schema, stream=True))
    assert (caught.value.type, caught.value.code) == ("invalid_request_error", "invalid_request")


def test_a_key_that_asks_too_often_is_told_when_to_come_back(clients: Clients) -> None:
    """The SDK's own class for it, with the header by which the SDK waits."""
    slow = clients.openai_with(SLOW_KEY)
    with pytest.raises(openai.RateLimitError) as caught:
        for _ in range(2):
            slow.completions.create(model="policy", prompt="x", max_tokens=1)
    assert caught.value.code == "overloaded"
    assert int(caught.value.response.headers["Retry-After"]) >= 1


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


def test_a_response_whole_and_streamed(clients: Clients) -> None:
    """The newer API: output items, usage, events in order; the version is named in each."""
    body: dict[str, Any] = {"model": "policy", "input": "头痛", "max_output_tokens": 24}
    extra = {"seed": 3, **PLAIN}
    answer = clients.openai.responses.create(**body, extra_body=extra)
    assert (answer.object, answer.model) == ("response", "policy@base")
    assert answer.output_text
    assert (answer.status, answer.usage.output_tokens) == ("incomplete", 24)
    events = list(clients.openai.responses.create(**body, extra_body=extra, stream=True))
    assert [events[0].type, events[-1].type] == ["response.created", "response.completed"]
    deltas = [event.delta for event in events if event.type == "response.output_text.delta"]
    assert "".join(deltas) == answer.output_text
    assert events[-1].response.model == "policy@base"


def test_a_response_fits_a_schema_or_calls_a_tool(clients: Clients) -> None:
    """The SDK's own parsing, and a forced call."""
    parsed = clients.openai.responses.parse(
        model="policy",
        input="头痛",
        text_format=Place,
        max_output_tokens=600,
        extra_body={"seed": 1, **NO_THINKING},
    )
    assert isinstance(parsed.output_parsed, Place)
    called = clients.openai.responses.create(
        model="policy",
        input="头痛",
        tools=[FLAT_TOOL],
        tool_choice={"type": "function", "name": "weather"},
        max_output_tokens=CALL_TOKENS,
        extra_body={"seed": 1, **NO_THINKING},
    )
    calls = [item for item in called.output if item.type == "function_call"]
    assert [call.name for call in calls] == ["weather"]
    assert json.loads(calls[0].arguments)["city"] in ("a", "b")


@pytest.mark.parametrize("field", ["previous_response_id", "store", "background"])
def test_responses_are_not_kept_and_say_so(clients: Clients, field: str) -> None:
    """Rather than that a client believes that they are."""
    value: Any = "resp_1" if field == "previous_response_id" else True
    with pytest.raises(openai.UnprocessableEntityError, match="not kept") as caught:
        clients.openai.responses.create(model="policy", input="头痛", **{field: value})
    assert caught.value.param == field
    for ask in (clients.openai.responses.retrieve, clients.openai.responses.cancel):
        with pytest.raises(openai.NotFoundError, match="not kept"):
            ask("resp_1")


def test_a_message_names_its_version_and_its_request(clients: Clients) -> None:
    """Anthropic's API: content blocks, usage, the reason of the end."""
    answer = clients.message(extra_headers={"X-Request-Id": "my-request-8"})
    assert (answer.type, answer.role, answer.model) == ("message", "assistant", "policy@base")
    assert answer._request_id == "my-request-8"
    assert [block.type for block in answer.content] == ["text"]
    assert (answer.stop_reason, answer.usage.output_tokens) == ("max_tokens", 8)
    raw = clients.anthropic.messages.with_raw_response.create(
        model="policy", messages=ASK, max_tokens=1
    )
    assert raw.headers["X-Policy-Version"] == "base"


def test_a_messages_reasoning_is_a_block_of_thinking(clients: Clients) -> None:
    """Where thinking is not switched off it comes before anything else."""
    answer = clients.anthropic.messages.create(
        model="policy", messages=ASK, max_tokens=60, extra_body={"temperature": 0}
    )
    assert answer.content[0].type == "thinking"
    assert answer.content[0].thinking


def test_a_streamed_message_is_the_same_in_pieces(clients: Clients) -> None:
    """The SDK puts it together from its events: text, version, usage and the reason of the end."""
    whole = clients.message(max_tokens=16)
    with clients.anthropic.messages.stream(
        model="policy",
        messages=ASK,
        max_tokens=16,
        thinking={"type": "disabled"},
        extra_body={"temperature": 0},
    ) as stream:
        said = "".join(stream.text_stream)
        message = stream.get_final_message()
    assert said == message.content[0].text == whole.content[0].text
    assert (message.model, message.stop_reason) == (whole.model, whole.stop_reason)
    assert message.usage.output_tokens == whole.usage.output_tokens


def test_tokens_are_counted_before_they_are_spent(clients: Clients) -> None:
    """As many as the message itself then says it read."""
    thinking = {"type": "disabled"}
    counted = clients.anthropic.messages.count_tokens(
        model="policy", messages=ASK, thinking=thinking
    )
    assert counted.input_tokens == clients.message().usage.input_tokens


def test_a_message_calls_a_tool_and_reads_its_result(clients: Clients) -> None:
    """A forced call has an input that fits its schema, and may be answered in the next turn."""
    forced = {"tools": [THEIR_TOOL], "tool_choice": {"type": "tool", "name": "weather"}}
    # Drawn, not the likeliest: between two words of JSON that may be blanks without end.
    answer = clients.message(**forced, max_tokens=CALL_TOKENS, extra_body=None)
    block = answer.content[-1]
    assert (block.type, block.name, answer.stop_reason) == ("tool_use", "weather", "tool_use")
    assert block.input["city"] in ("a", "b")
    result = {"type": "tool_result", "tool_use_id": block.id, "content": "晴"}
    turns = [
        *ASK,
        {"role": "assistant", "content": [block.model_dump()]},
        {"role": "user", "content": [result]},
    ]
    after = clients.message(tools=[THEIR_TOOL], messages=turns)
    assert after.usage.input_tokens > answer.usage.input_tokens


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
    url, body = (
        f"{clients.url}/v1/completions",
        '{"prompt":[1,20,33],"max_tokens":2,"ignore_eos":true}',
    )
    answer = curl("-i", url, "-H", f"x-api-key: {KEYS['rollout']}", "-d", body)
    head, _, text = answer.replace("\r", "").partition("\n\n")
    assert "x-policy-version: base" in head.lower()
    assert json.loads(text)["usage"]["completion_tokens"] == 2
    refused = json.loads(curl(url, "-d", body))
    assert refused["error"]["code"] == "unauthorized"
    assert "Authorization: Bearer" in refused["error"]["message"]
