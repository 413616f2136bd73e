"""The simple engine over HTTP with a tiny real Qwen3: vLLM's surface, and what it answers."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import httpx
import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM, AutoTokenizer

from server.simple.engine import SimpleEngine, load
from server.simple.options import Options
from tests.server.simple.conftest import MAX_MODEL_LEN, NAME

IDS = [1, 20, 33, 54, 76]
CHAT = {"messages": [{"role": "user", "content": "头痛"}], "max_tokens": 6, "seed": 1}
TOOL = {
    "type": "function",
    "function": {
        "name": "look_up",
        "parameters": {
            "type": "object",
            "properties": {"word": {"enum": ["头痛", "发热"]}},
            "required": ["word"],
            "additionalProperties": False,
        },
    },
}
NO_THINKING = {"chat_template_kwargs": {"enable_thinking": False}}
SCHEMA = {
    "type": "object",
    "properties": {"risk": {"enum": ["low", "high"]}},
    "required": ["risk"],
    "additionalProperties": False,
}

RISK = {"type": "json_schema", "json_schema": {"name": "risk", "schema": SCHEMA}}


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


def metric(engine: SimpleEngine, name: str) -> float:
    lines = engine.metrics.text().splitlines()
    return next(float(line.split()[1]) for line in lines if line.startswith(f"{name} "))


def logprobs_of(model: Any, ids: list[int]) -> list[float]:
    """log p of each token after the first."""
    with torch.no_grad():
        logprobs_TV = model(torch.tensor([ids])).logits[0, :-1].log_softmax(-1)
    told: list[float] = logprobs_TV[range(len(ids) - 1), ids[1:]].tolist()
    return told


async def test_a_rollout_gets_its_tokens_and_their_logprobs(
    http: httpx.AsyncClient, base: Path
) -> None:
    """By token ids, from the distribution as it is, and the prompt's own beside them."""
    asked = {"return_token_ids": True, "logprobs": 0, "prompt_logprobs": 0, "top_k": 0}
    answer = await post(http, "/v1/completions", model=NAME, prompt=IDS, max_tokens=9, **asked)
    (choice,) = answer["choices"]
    assert choice["prompt_token_ids"] == IDS
    rows = zip(choice["prompt_logprobs"][1:], IDS[1:], strict=True)
    told = [row[str(token)]["logprob"] for row, token in rows]
    told += choice["logprobs"]["token_logprobs"]
    model = AutoModelForCausalLM.from_pretrained(base)
    assert told == pytest.approx(logprobs_of(model, IDS + choice["token_ids"]), abs=1e-3)
    usage = {"prompt_tokens": 5, "completion_tokens": 9, "total_tokens": 14}
    assert answer["usage"] == usage
    assert answer["model"] == NAME


async def test_a_stream_says_what_the_whole_answer_says(http: httpx.AsyncClient) -> None:
    """Text, tokens, log-probabilities and usage, for several prompts and choices at once."""
    body = {
        "prompt": ["头痛", "发热三天"],
        "n": 2,
        "seed": 5,
        "logprobs": 1,
        "return_token_ids": True,
        "max_tokens": 12,
        "echo": True,
    }
    whole = await post(http, "/v1/completions", **body)
    *chunks, last = await events(
        http, "/v1/completions", **body, stream_options={"include_usage": True}
    )
    assert last["choices"] == []
    assert last["usage"] == whole["usage"]
    for choice in whole["choices"]:
        mine = [c["choices"][0] for c in chunks if c["choices"][0]["index"] == choice["index"]]
        assert "".join(chunk["text"] for chunk in mine) == choice["text"]
        assert [t for chunk in mine for t in chunk["token_ids"]] == choice["token_ids"]
        assert mine[0]["prompt_token_ids"] == choice["prompt_token_ids"]
        for name, told in choice["logprobs"].items():
            assert [x for chunk in mine for x in chunk["logprobs"][name]] == told
        assert mine[-1]["finish_reason"] == choice["finish_reason"]
    one, other, *_ = (choice["text"] for choice in whole["choices"])
    assert one != other


async def test_echo_with_no_tokens_scores_a_text(http: httpx.AsyncClient) -> None:
    """`max_tokens` 0 is for this alone."""
    answer = await post(
        http, "/v1/completions", prompt="头痛三天", max_tokens=0, echo=True, logprobs=0
    )
    (choice,) = answer["choices"]
    assert choice["text"] == "头痛三天"
    assert choice["logprobs"]["token_logprobs"][0] is None
    assert len(choice["logprobs"]["tokens"]) == answer["usage"]["prompt_tokens"]
    assert answer["usage"]["completion_tokens"] == 0


async def test_more_tokens_than_fit_are_cut_down(http: httpx.AsyncClient) -> None:
    """As many as there is room for; the reason says that there were more to come."""
    prompt = [1] * (MAX_MODEL_LEN - 2)
    body = {"max_tokens": MAX_MODEL_LEN, "ignore_eos": True}
    answer = await post(http, "/v1/completions", prompt=prompt, **body)
    assert answer["usage"]["completion_tokens"] == 2
    assert answer["choices"][0]["finish_reason"] == "length"


async def test_a_seed_gives_the_same_answer_alone_and_in_company(http: httpx.AsyncClient) -> None:
    """What others ask meanwhile changes nothing."""
    alone = await post(http, "/v1/chat/completions", **CHAT)
    crowd = [post(http, "/v1/chat/completions", **{**CHAT, "seed": i}) for i in range(6)]
    together = await asyncio.gather(*crowd)
    assert alone["choices"] == together[1]["choices"]
    assert together[2]["choices"] != alone["choices"]


async def test_chat_and_its_stream_agree(http: httpx.AsyncClient) -> None:
    """Reasoning, tokens and log-probabilities; the stream begins with the role."""
    body = {**CHAT, "logprobs": True, "top_logprobs": 2, "return_token_ids": True}
    whole = await post(http, "/v1/chat/completions", **body)
    (choice,) = whole["choices"]
    opening, *chunks = await events(http, "/v1/chat/completions", **body)
    assert opening["choices"][0]["delta"] == {"role": "assistant", "content": ""}
    assert opening["prompt_token_ids"] == whole["prompt_token_ids"]
    mine = [chunk["choices"][0] for chunk in chunks]
    reasoning = "".join(chunk["delta"].get("reasoning", "") for chunk in mine)
    assert reasoning == choice["message"]["reasoning"]
    assert choice["message"]["content"] is None
    assert [t for chunk in mine for t in chunk["token_ids"]] == choice["token_ids"]
    places = [place for chunk in mine for place in chunk["logprobs"]["content"]]
    assert places == choice["logprobs"]["content"]
    assert {len(place["top_logprobs"]) for place in places} == {2}
    assert whole["usage"]["completion_tokens_details"] == {"reasoning_tokens": 6}


async def test_chat_reads_the_conversation_as_the_template_writes_it(
    http: httpx.AsyncClient, base: Path
) -> None:
    """Roles, parts of text, earlier reasoning, and the template's own switches."""
    tokenizer = AutoTokenizer.from_pretrained(base)
    plain = [
        {"role": "system", "content": "你是医生"},
        {"role": "user", "content": "头痛\n三天"},
        {"role": "assistant", "content": "多休息", "reasoning_content": "想"},
        {"role": "user", "content": "还有呢"},
    ]
    sent = [dict(message) for message in plain]
    sent[1]["content"] = [{"type": "text", "text": "头痛"}, {"type": "text", "text": "三天"}]
    sent[2]["reasoning"] = sent[2].pop("reasoning_content")
    answer = await post(
        http,
        "/v1/chat/completions",
        messages=sent,
        max_tokens=1,
        return_token_ids=True,
        **NO_THINKING,
    )
    expected = tokenizer.apply_chat_template(
        plain, add_generation_prompt=True, enable_thinking=False, return_dict=True
    )["input_ids"]
    assert answer["prompt_token_ids"] == expected
    tokens = await post(http, "/tokenize", messages=sent, **NO_THINKING)
    assert tokens["tokens"] == expected


async def test_an_answer_follows_its_schema(http: httpx.AsyncClient) -> None:
    """Whatever an untrained model would rather write."""
    for seed in range(3):
        answer = await post(
            http,
            "/v1/chat/completions",
            **{**CHAT, "max_tokens": 200, "seed": seed, "response_format": RISK},
            **NO_THINKING,
        )
        (choice,) = answer["choices"]
        assert choice["finish_reason"] == "stop"
        assert json.loads(choice["message"]["content"])["risk"] in ("low", "high")


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize(
    ("choice", "finish"),
    [
        ("required", "tool_calls"),
        ({"type": "function", "function": {"name": "look_up"}}, "stop"),
    ],
)
async def test_a_tool_that_must_be_called_is_called(
    http: httpx.AsyncClient, choice: Any, finish: str, streamed: bool
) -> None:
    """With arguments of its own schema, and the reason that OpenAI gives."""
    # One call, since an untrained model would go on calling.
    bound = {"tools": [TOOL], "tool_choice": choice, "parallel_tool_calls": False}
    body = {**CHAT, "max_tokens": 200, **bound, **NO_THINKING}
    if streamed:
        chunks = [e["choices"][0] for e in await events(http, "/v1/chat/completions", **body)]
        calls = [c for chunk in chunks for c in chunk["delta"].get("tool_calls", ())]
        reason = chunks[-1]["finish_reason"]
    else:
        (said,) = (await post(http, "/v1/chat/completions", **body))["choices"]
        calls, reason = said["message"]["tool_calls"], said["finish_reason"]
    assert reason == finish
    assert {call["function"]["name"] for call in calls} == {"look_up"}
    assert json.loads(calls[0]["function"]["arguments"])["word"] in ("头痛", "发热")


@pytest.mark.parametrize(
    ("path", "body", "status", "param"),
    [
        ("/v1/completions", {"prompt": IDS, "model": "gpt-4"}, 404, "model"),
        ("/v1/completions", {"prompt": [1, 10_000_000]}, 400, "prompt"),
        ("/v1/completions", {"prompt": [1], "max_tokens": MAX_MODEL_LEN + 1}, 400, "max_tokens"),
        ("/v1/completions", {"prompt": [1] * MAX_MODEL_LEN, "max_tokens": 1}, 400, "input_tokens"),
        ("/v1/completions", {"prompt": "头痛" * 50_000}, 400, "input_tokens"),
        ("/v1/completions", {"prompt": [1], "logit_bias": {"x": 1}}, 400, "logit_bias"),
        ("/v1/completions", {"prompt": [1], "logit_bias": {"9999": 1}}, 400, "logit_bias"),
        ("/v1/completions", {"prompt": [1], "stop_token_ids": [9999]}, 400, "stop_token_ids"),
        ("/v1/completions", {"prompt": [1], "min_tokens": 20}, 400, "min_tokens"),
        ("/v1/completions", {"prompt": [1], "repetition_penalty": 1e-300}, 400, None),
        ("/v1/chat/completions", {**CHAT, "messages": [{"content": "x"}]}, 400, None),
        (
            "/v1/chat/completions",
            {"messages": [{"role": "user", "content": [{"type": "image_url"}]}]},
            400,
            "messages.0.content",
        ),
        (
            "/v1/chat/completions",
            {
                **CHAT,
                "response_format": {
                    "type": "json_schema",
                    "json_schema": {"name": "x", "schema": {"type": "nonsense"}},
                },
            },
            400,
            None,
        ),
        (
            "/v1/chat/completions",
            {**CHAT, "chat_template_kwargs": {"tokenize": True}},
            400,
            "chat_template_kwargs.tokenize",
        ),
        (
            "/v1/chat/completions",
            {"messages": [{"role": "assistant", "tool_calls": [{"function": "look_up"}]}]},
            400,
            "messages.0.tool_calls",
        ),
        ("/detokenize", {"tokens": [10_000_000]}, 400, "tokens"),
        ("/collective_rpc", {"method": "shutdown"}, 400, "method"),
        ("/v1/unload_lora_adapter", {"lora_name": "nobody"}, 404, "lora_name"),
        ("/v1/messages", {"messages": [{"role": "user", "content": "x"}]}, 400, "max_tokens"),
        ("/v1/messages", {"messages": [{"role": "x"}], "max_tokens": 1}, 400, "messages.0.role"),
        (
            "/v1/messages",
            {"messages": [{"role": "user", "content": [{"type": "image"}]}], "max_tokens": 1},
            400,
            "messages.0.content.0",
        ),
        ("/v1/responses", {"input": ""}, 400, "input"),
        ("/v1/responses", {"input": [{"type": "web_search_call"}]}, 400, "input.0"),
        (
            "/v1/responses",
            {"input": [{"role": "user", "content": [{"type": "input_image"}]}]},
            400,
            "input.0.content",
        ),
    ],
)
async def test_what_cannot_be_done_is_refused_in_openais_shape(
    http: httpx.AsyncClient, path: str, body: dict[str, Any], status: int, param: str | None
) -> None:
    """And the engine lives on."""
    answer = await http.post(path, json=body)
    assert answer.status_code == status, answer.text
    error = answer.json()["error"]
    assert error["message"]
    assert param is None or error["param"] == param
    assert (await http.get("/health")).status_code == 200


async def test_limits_that_leave_no_token_end_their_answer_alone(http: httpx.AsyncClient) -> None:
    """Whether it was to come whole or as a stream, the reason is told and the engine lives on."""
    limits = {"max_tokens": 200, "min_tokens": 150, "response_format": RISK}
    body = {**CHAT, **limits, **NO_THINKING}
    answer = await http.post("/v1/chat/completions", json=body)
    assert answer.status_code == 400, answer.text
    *_, last = await events(http, "/v1/chat/completions", **body)
    assert last["error"] == {**answer.json()["error"], "code": 400}
    assert (await http.get("/health")).status_code == 200


async def test_a_refused_schema_is_told_what_is_wrong_with_it(http: httpx.AsyncClient) -> None:
    """In one sentence, without the place in the compiler's source where that was found."""
    schema = {"type": "array", "minItems": 5, "maxItems": 1}
    asked = {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}
    answer = await http.post("/v1/chat/completions", json={**CHAT, "response_format": asked})
    assert answer.json()["error"]["message"] == (
        "response_format: not a valid JSON schema: minItems is greater than maxItems: 5 > 1"
    )


async def test_a_prompt_of_one_word_is_not_taken_for_a_conversation(
    http: httpx.AsyncClient,
) -> None:
    """Though it is the name of the field that a conversation has."""
    told = await post(http, "/tokenize", prompt="messages")
    assert (await post(http, "/detokenize", tokens=told["tokens"])) == {"prompt": "messages"}


async def test_tokens_go_there_and_back(http: httpx.AsyncClient) -> None:
    """`/tokenize` and `/detokenize` undo each other."""
    told = await post(http, "/tokenize", prompt="头痛三天怎么办？", return_token_strs=True)
    assert told["count"] == len(told["tokens"]) == len(told["token_strs"])
    assert told["max_model_len"] == MAX_MODEL_LEN
    back = await post(http, "/detokenize", tokens=told["tokens"])
    assert back == {"prompt": "头痛三天怎么办？"}


async def test_a_client_that_hangs_up_ends_its_sequences(
    http: httpx.AsyncClient, engine: SimpleEngine
) -> None:
    """Streamed or not; the engine's count falls to nothing long before all is written."""
    body = {"prompt": [IDS, IDS], "max_tokens": 1000, "ignore_eos": True}
    async with http.stream("POST", "/v1/completions", json={**body, "stream": True}) as answer:
        await anext(answer.aiter_lines())
    while metric(engine, "vllm:num_requests_running"):
        await engine.worker.call(lambda model: None)
    asked = asyncio.create_task(http.post("/v1/completions", json=body))
    while not metric(engine, "vllm:num_requests_running"):
        await engine.worker.call(lambda model: None)
    asked.cancel()
    while metric(engine, "vllm:num_requests_running"):
        await engine.worker.call(lambda model: None)
    assert 0 < metric(engine, "vllm:generation_tokens_total") < 3000


async def test_weights_are_swapped_while_it_is_paused(
    http: httpx.AsyncClient, base: Path, tmp_path: Path
) -> None:
    """As the gateway does it: pause, reload, resume; a request meanwhile waits and is answered by
    the new weights."""
    other = AutoModelForCausalLM.from_pretrained(base)
    with torch.no_grad():
        other.model.embed_tokens.weight.mul_(1.5)
    other.save_pretrained(tmp_path)
    await post(http, "/pause?mode=wait&clear_cache=true")
    body = {"prompt": IDS, "max_tokens": 1, "prompt_logprobs": 0}
    waiting = asyncio.create_task(post(http, "/v1/completions", **body))
    kwargs = {"weights_path": str(tmp_path)}
    assert await post(http, "/collective_rpc", method="reload_weights", kwargs=kwargs) == {
        "results": [None]
    }
    assert not waiting.done()
    await post(http, "/resume")
    (choice,) = (await waiting)["choices"]
    rows = zip(choice["prompt_logprobs"][1:], IDS[1:], strict=True)
    told = [row[str(token)]["logprob"] for row, token in rows]
    assert told == pytest.approx(logprobs_of(other, IDS), abs=1e-3)


async def test_adapters_are_asked_for_by_name(
    http: httpx.AsyncClient, base: Path, tmp_path: Path
) -> None:
    """Listed, used, refused beyond the limit or under a name that is taken, and unloaded."""
    config = LoraConfig(r=4, target_modules="all-linear", init_lora_weights=False)
    adapted = get_peft_model(AutoModelForCausalLM.from_pretrained(base), config).eval()
    adapted.save_pretrained(tmp_path)

    async def load(name: str) -> int:
        body = {"lora_name": name, "lora_path": str(tmp_path)}
        return (await http.post("/v1/load_lora_adapter", json=body)).status_code

    assert [await load(name) for name in ("v.1", "v.1", NAME, "v2", "v3")] == [
        200,
        400,
        400,
        200,
        400,
    ]
    names = [card["id"] for card in (await http.get("/v1/models")).json()["data"]]
    assert names == [NAME, "v.1", "v2"]
    body = {"prompt": IDS, "max_tokens": 5, "return_token_ids": True, "logprobs": 0}
    (choice,) = (await post(http, "/v1/completions", model="v.1", **body))["choices"]
    expected = logprobs_of(adapted, IDS + choice["token_ids"])[-5:]
    assert choice["logprobs"]["token_logprobs"] == pytest.approx(expected, abs=1e-3)
    gone = await http.post("/v1/unload_lora_adapter", json={"lora_name": "v.1"})
    assert gone.status_code == 200
    answer = await http.post("/v1/completions", json={"model": "v.1", **body})
    assert answer.status_code == 404
    assert await load("v3") == 200


async def test_an_adapter_in_use_serves_its_sequences_to_their_end(
    http: httpx.AsyncClient, base: Path, tmp_path: Path
) -> None:
    """Unloading forgets the name; the tensors stay while somebody is written with them."""
    config = LoraConfig(r=4, target_modules="all-linear", init_lora_weights=False)
    get_peft_model(AutoModelForCausalLM.from_pretrained(base), config).save_pretrained(tmp_path)
    loaded = {"lora_name": "v1", "lora_path": str(tmp_path)}
    assert (await http.post("/v1/load_lora_adapter", json=loaded)).status_code == 200
    body = {"model": "v1", "prompt": IDS, "max_tokens": 60, "ignore_eos": True, "stream": True}
    async with http.stream("POST", "/v1/completions", json=body) as answer:
        lines = answer.aiter_lines()
        await anext(lines)
        await http.post("/v1/unload_lora_adapter", json={"lora_name": "v1"})
        rest = [line async for line in lines if line]
    assert len(rest) == 60  # 59 tokens and the end
    assert (await http.post("/v1/load_lora_adapter", json=loaded)).status_code == 200


async def test_the_version_is_what_the_gateway_last_said(http: httpx.AsyncClient) -> None:
    """By this mark a gateway knows whether an engine was started anew."""
    assert (await http.get("/weight_info")).json() == {"weight_version": "default"}
    await post(http, "/update_weight_version", new_version="v1")
    assert (await http.get("/weight_info")).json() == {"weight_version": "v1"}


async def test_the_metrics_have_vllms_names(http: httpx.AsyncClient) -> None:
    """So that one dashboard shows either engine."""
    await post(http, "/v1/completions", prompt=IDS, max_tokens=3, ignore_eos=True)
    lines = (await http.get("/metrics")).text.splitlines()
    values = dict(line.rsplit(" ", 1) for line in lines if not line.startswith("#"))
    assert float(values["vllm:prompt_tokens_total"]) == 5
    assert float(values["vllm:generation_tokens_total"]) == 3
    assert float(values["vllm:num_requests_running"]) == 0
    assert float(values["vllm:num_requests_waiting"]) == 0
    assert float(values["vllm:time_to_first_token_seconds_count"]) == 1


def test_no_more_context_is_promised_than_the_model_has(base: Path) -> None:
    """As in vLLM the start is refused; beyond it the answers would be noise."""
    with pytest.raises(ValueError, match="max_position_embeddings"):
        load(Options(base, NAME, "float32", 10**6, max_lora_rank=0, max_loras=0))
