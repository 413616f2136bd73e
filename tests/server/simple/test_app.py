"""The simple engine over HTTP with a tiny real Qwen3: vLLM's surface, and what it answers."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import httpx
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from server.simple.protocol import ChatRequest
from server.simple.tokenizer import Tokenizer
from tests.server.simple.conftest import IDS, MAX_MODEL_LEN, NAME

CHAT = {"messages": [{"role": "user", "content": "头痛"}], "max_tokens": 6, "seed": 1}
COMPLETIONS, CHATS = "/v1/completions", "/v1/chat/completions"


async def post(http: httpx.AsyncClient, path: str, **body: Any) -> dict[str, Any]:
    answer = await http.post(path, json=body)
    assert answer.status_code == 200, answer.text
    told: dict[str, Any] = answer.json()
    return told


async def events(http: httpx.AsyncClient, path: str, **body: Any) -> list[dict[str, Any]]:
    async with http.stream("POST", path, json={**body, "stream": True}) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        lines = [line async for line in answer.aiter_lines() if line]
    assert lines[-1] == "data: [DONE]"
    return [json.loads(line.removeprefix("data: ")) for line in lines[:-1]]


async def metric(http: httpx.AsyncClient, name: str) -> float:
    lines = (await http.get("/metrics")).text.splitlines()
    return next(float(line.split()[1]) for line in lines if line.startswith(f"{name} "))


def logprobs_of(model: Any, ids: list[int]) -> list[float]:
    """log p of each token after the first."""
    with torch.no_grad():
        logprobs_TV = model(torch.tensor([ids])).logits[0, :-1].log_softmax(-1)
    told: list[float] = logprobs_TV[range(len(ids) - 1), ids[1:]].tolist()
    return told


def prompt_logprobs(choice: dict[str, Any], ids: list[int]) -> list[float]:
    rows = zip(choice["prompt_logprobs"][1:], ids[1:], strict=True)
    return [row[str(token)]["logprob"] for row, token in rows]


async def test_a_prompts_logprobs_are_the_trainers_to_the_bit(
    http: httpx.AsyncClient, base: Path
) -> None:
    """In float32 on a CPU, however many requests are being written at the same time."""
    ids, crowd = IDS * 40, {"prompt": [IDS, IDS * 3], "max_tokens": 40, "n": 2}
    company = asyncio.create_task(post(http, COMPLETIONS, **crowd))
    asked = {"prompt": ids, "max_tokens": 1, "prompt_logprobs": 0}
    (choice,) = (await post(http, COMPLETIONS, **asked))["choices"]
    model = AutoModelForCausalLM.from_pretrained(base, dtype="float32")
    assert prompt_logprobs(choice, ids) == logprobs_of(model, ids)
    await company


async def test_a_rollout_gets_its_tokens_and_their_logprobs(
    http: httpx.AsyncClient, base: Path
) -> None:
    """By token ids, from the distribution as it is."""
    asked = {"return_token_ids": True, "logprobs": 0, "top_k": 0, "max_tokens": 9}
    answer = await post(http, COMPLETIONS, model=NAME, prompt=IDS, **asked)
    (choice,) = answer["choices"]
    written = choice["token_ids"]  # fewer than nine where the end was drawn
    expected = logprobs_of(AutoModelForCausalLM.from_pretrained(base), IDS + written)
    told = choice["logprobs"]["token_logprobs"]
    assert told == pytest.approx(expected[-len(written) :], abs=1e-4)
    count = len(written)
    usage = {"prompt_tokens": 5, "completion_tokens": count, "total_tokens": 5 + count}
    assert (answer["usage"], answer["model"]) == (usage, NAME)


async def test_a_stream_says_what_the_whole_answer_says(http: httpx.AsyncClient) -> None:
    """Text, tokens, log-probabilities and usage, for several prompts and choices at once."""
    body = {"prompt": ["头痛", "发热三天"], "n": 2, "seed": 5, "max_tokens": 12}
    body |= {"logprobs": 0, "return_token_ids": True}
    whole = await post(http, COMPLETIONS, **body)
    options = {"include_usage": True}
    *chunks, last = await events(http, COMPLETIONS, **body, stream_options=options)
    assert (last["choices"], last["usage"]) == ([], whole["usage"])
    for choice in whole["choices"]:
        mine = [c["choices"][0] for c in chunks if c["choices"][0]["index"] == choice["index"]]
        assert "".join(chunk["text"] for chunk in mine) == choice["text"]
        assert [t for chunk in mine for t in chunk["token_ids"]] == choice["token_ids"]
        assert mine[-1]["finish_reason"] == choice["finish_reason"]
        logprobs = [p for chunk in mine for p in chunk["logprobs"]["token_logprobs"]]
        assert logprobs == choice["logprobs"]["token_logprobs"]
    one, other, *_ = (choice["token_ids"] for choice in whole["choices"])
    assert one != other


async def test_chat_and_its_stream_agree(http: httpx.AsyncClient) -> None:
    """Content and tokens; the first delta says who speaks."""
    body = {**CHAT, "return_token_ids": True}
    (choice,) = (await post(http, CHATS, **body))["choices"]
    mine = [chunk["choices"][0] for chunk in await events(http, CHATS, **body)]
    assert mine[0]["delta"]["role"] == choice["message"]["role"] == "assistant"
    content = "".join(chunk["delta"].get("content", "") for chunk in mine)
    assert (content, None) == (choice["message"]["content"], choice["message"]["reasoning"])
    assert [t for chunk in mine for t in chunk["token_ids"]] == choice["token_ids"]


def test_chat_reads_the_conversation_as_the_template_writes_it(
    tokenizer: Tokenizer, base: Path
) -> None:
    """Roles, parts of text, earlier reasoning, and the template's own switches."""
    plain = [
        {"role": "system", "content": "你是医生"},
        {"role": "user", "content": "头痛\n三天"},
        {"role": "assistant", "content": "多休息", "reasoning_content": "想"},
        {"role": "user", "content": "还有呢"},
    ]
    sent: list[dict[str, Any]] = [dict(message) for message in plain]
    sent[1]["content"] = [{"type": "text", "text": "头痛"}, {"type": "text", "text": "三天"}]
    sent[2] |= {"reasoning": sent[2].pop("reasoning_content"), "tool_calls": None}
    asked = {"messages": sent, "chat_template_kwargs": {"enable_thinking": False}}
    template = AutoTokenizer.from_pretrained(base).apply_chat_template
    expected = template(plain, add_generation_prompt=True, enable_thinking=False, tokenize=False)
    assert tokenizer.render(ChatRequest.model_validate(asked)) == expected


async def test_a_seed_gives_the_same_answer_alone_and_in_company(http: httpx.AsyncClient) -> None:
    """What others ask meanwhile changes nothing."""
    alone = await post(http, CHATS, **CHAT)
    together = await asyncio.gather(
        *(post(http, CHATS, **{**CHAT, "seed": seed}) for seed in range(6))
    )
    assert alone["choices"] == together[1]["choices"]
    assert together[2]["choices"] != alone["choices"]


@pytest.mark.parametrize(
    ("path", "body", "status", "param"),
    [
        (COMPLETIONS, {"model": "gpt-4"}, 404, "model"),
        (COMPLETIONS, {"prompt": [1, 10_000_000]}, 400, "prompt"),
        (COMPLETIONS, {"prompt": [1, "a"]}, 400, "prompt"),
        (COMPLETIONS, {"prompt": [1] * MAX_MODEL_LEN}, 400, "input_tokens"),
        (COMPLETIONS, {"prompt": "头痛" * 50_000}, 400, "input_tokens"),
        (COMPLETIONS, {"max_tokens": MAX_MODEL_LEN + 1}, 400, "max_tokens"),
        (COMPLETIONS, {"max_tokens": 0}, 400, "max_tokens"),
        (COMPLETIONS, {"temperature": "hot"}, 400, "temperature"),
        (COMPLETIONS, {"logit_bias": {"1": 1}}, 400, "logit_bias"),
        (CHATS, {"messages": [{"content": "x"}]}, 400, "messages.0"),
        (CHATS, {"messages": [{"role": "user", "content": {"text": "x"}}]}, 400, "messages.0"),
        (CHATS, {"messages": [{"role": "user", "content": [{"image_url": 1}]}]}, 400, "messages.0"),
        (CHATS, {"messages": [{"role": "x", "tool_calls": [{}]}]}, 400, "messages.0"),
        (CHATS, {"chat_template_kwargs": {"tokenize": True}}, 400, "messages"),
        (CHATS, {"response_format": {"type": "json_object"}}, 400, "response_format"),
        (CHATS, {"tools": [{"type": "function"}]}, 400, "tools"),
        ("/collective_rpc", {"method": "shutdown", "kwargs": {}}, 400, "method"),
        ("/pause?mode=wait", {}, 400, "mode"),
        ("/v1/messages", {}, 501, None),
        ("/detokenize", {}, 501, None),
    ],
)
async def test_what_cannot_be_done_is_refused_in_openais_shape(
    http: httpx.AsyncClient, path: str, body: dict[str, Any], status: int, param: str | None
) -> None:
    """Streamed or not, with the field at fault, and the engine lives on."""
    fit = {COMPLETIONS: {"prompt": IDS}, CHATS: CHAT}.get(path, {})
    answer = await http.post(path, json={**fit, **body, **({"stream": True} if fit else {})})
    assert answer.status_code == status, answer.text
    error = answer.json()["error"]
    assert error["message"]
    assert error["param"] == param
    assert (await http.get("/health")).status_code == 200


async def test_more_tokens_than_fit_are_cut_down(http: httpx.AsyncClient) -> None:
    """As many as there is room for; the reason says that there were more to come."""
    asked = {"prompt": [1] * (MAX_MODEL_LEN - 2), "max_tokens": 1000, "ignore_eos": True}
    answer = await post(http, COMPLETIONS, **asked)
    assert answer["usage"]["completion_tokens"] == 2
    assert answer["choices"][0]["finish_reason"] == "length"


async def test_a_client_that_hangs_up_ends_its_sequences(http: httpx.AsyncClient) -> None:
    """Streamed or not; the engine's count falls to nothing long before all is written."""
    running = "vllm:num_requests_running"
    body = {"prompt": [IDS, IDS], "max_tokens": 1000, "ignore_eos": True}
    async with http.stream("POST", COMPLETIONS, json={**body, "stream": True}) as answer:
        await anext(answer.aiter_lines())
    while await metric(http, running):
        pass
    asked = asyncio.create_task(http.post(COMPLETIONS, json=body))
    while not await metric(http, running):
        pass
    asked.cancel()
    while await metric(http, running):
        pass
    assert 0 < await metric(http, "vllm:generation_tokens_total") < 3000


async def test_weights_are_swapped_while_it_is_paused(
    http: httpx.AsyncClient, base: Path, tmp_path: Path
) -> None:
    """A request meanwhile waits, and is answered by the new weights."""
    other = AutoModelForCausalLM.from_pretrained(base)
    with torch.no_grad():
        other.model.embed_tokens.weight.mul_(1.5)
    other.save_pretrained(tmp_path)
    await post(http, "/pause?mode=abort&clear_cache=true")
    asked = {"prompt": IDS, "max_tokens": 1, "prompt_logprobs": 0}
    waiting = asyncio.create_task(post(http, COMPLETIONS, **asked))
    while not await metric(http, "vllm:num_requests_waiting"):
        pass
    kwargs = {"weights_path": str(tmp_path)}
    assert await post(http, "/collective_rpc", method="reload_weights", kwargs=kwargs)
    assert not waiting.done()
    await post(http, "/resume")
    (choice,) = (await waiting)["choices"]
    assert prompt_logprobs(choice, IDS) == logprobs_of(other, IDS)


async def test_the_gateway_finds_what_it_asks_for(http: httpx.AsyncClient) -> None:
    """The name of the model, its mark, and vLLM's names of what is counted."""
    await post(http, COMPLETIONS, prompt=IDS, max_tokens=3, ignore_eos=True, n=2)
    models = (await http.get("/v1/models")).json()["data"]
    assert [(card["id"], card["max_model_len"]) for card in models] == [(NAME, MAX_MODEL_LEN)]
    assert (await http.get("/weight_info")).json() == {"weight_version": "default"}
    names = ("prompt_tokens_total", "generation_tokens_total", "num_requests_waiting")
    assert [await metric(http, f"vllm:{name}") for name in names] == [10, 6, 0]
