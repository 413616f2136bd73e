"""Chat completions through the `openai` SDK: whole, streamed, with reasoning, drawn as asked."""

from __future__ import annotations

import pytest

from tests.integration.sdk.clients import ASK, Clients

pytestmark = pytest.mark.engine


def test_a_chat_completion_names_its_version_and_its_request(clients: Clients) -> None:
    """The model in the body, the version in a header, the caller's id as the SDK gives it back."""
    answer = clients.chat(extra_headers={"X-Request-Id": "my-request-7"})
    assert (answer.object, answer.model, answer._request_id) == (
        "chat.completion",
        "policy@base",
        "my-request-7",
    )
    assert answer.choices[0].message.role == "assistant"
    assert isinstance(answer.choices[0].message.content, str)
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
