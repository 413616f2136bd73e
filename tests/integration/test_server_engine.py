"""The policy server with real engines: versions of a toy Qwen3 served, swapped and refused.

Every law of merged weights is held against vLLM and against the simple engine, on the shared
servers. One of its own serves adapters to the last tests, with vLLM: the simple engine has none.

Shapes: B sequences, T tokens.
"""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from prometheus_client.parser import text_string_to_metric_families
from transformers import AutoModelForCausalLM

from galen import digest
from server.schemas import MANIFEST
from server.settings import AdapterSettings, EngineSettings
from tests.deploy.vllm_families import VLLM_FAMILIES
from tests.integration.load import greedy, under_load
from tests.integration.real_server import (
    PROMPT_IDS,
    Server,
    adapter_of,
    gap,
    logprobs_of,
    running,
    settings_for,
)

pytestmark = pytest.mark.engine

ACTIVATIONS = {"vllm": 10, "transformers": 6}
"""Back and forth. Before each the answers in hand are finished, of which the simple engine writes
few at a time."""
STEP_TOKENS = 256
"""Most tokens of one step of the engine with adapters."""


def test_a_batch_is_answered_in_its_order(server: Server) -> None:
    """Every line by the engine itself, also what it refuses, which stands in the error file."""
    bodies = [{"prompt": PROMPT_IDS, "max_tokens": most, "temperature": 0} for most in (4, 0, 2)]
    asked = {"method": "POST", "url": "/v1/completions"}
    lines = [json.dumps({"custom_id": f"{n}", "body": b, **asked}) for n, b in enumerate(bodies)]
    form = {"files": {"file": "\n".join(lines).encode()}, "data": {"purpose": "batch"}}
    file = server.http.post("/v1/files", **form).raise_for_status().json()
    wanted = {"input_file_id": file["id"], "endpoint": asked["url"], "completion_window": "24h"}
    url = f"/v1/batches/{server.http.post('/v1/batches', json=wanted).json()['id']}"
    server.until(lambda: server.http.get(url).json()["status"] == "completed")
    batch = server.http.get(url).json()
    kept = {
        kind: server.http.get(f"/v1/files/{batch[f'{kind}_file_id']}/content").text.splitlines()
        for kind in ("output", "error")
    }
    rows = [json.loads(row) for row in kept["output"]]
    assert [row["custom_id"] for row in rows] == ["0", "2"]
    assert [row["response"]["body"]["usage"]["completion_tokens"] for row in rows] == [4, 2]
    assert {row["response"]["body"]["model"] for row in rows} == {"policy@base"}
    assert [json.loads(row)["response"]["status_code"] for row in kept["error"]] == [400]


def test_chat_answers_in_openais_shape(server: Server) -> None:
    """A message with reasoning or content, usage, and the version that wrote it."""
    body = {"model": "policy", "messages": [{"role": "user", "content": "头痛"}], "max_tokens": 8}
    answer = server.http.post("/v1/chat/completions", json=body)
    told = answer.json()
    assert told["object"] == "chat.completion"
    assert told["model"] == "policy@base"
    assert answer.headers["X-Policy-Version"] == "base"
    assert told["choices"][0]["message"]["role"] == "assistant"
    assert told["usage"]["completion_tokens"] == 8


def test_a_stream_comes_piece_by_piece_and_names_its_version(server: Server) -> None:
    """The first piece is there before the last is written, and each names the version."""
    body = {
        "messages": [{"role": "user", "content": "头痛"}],
        "max_tokens": 300,
        "ignore_eos": True,
        "stream": True,
    }
    with server.http.stream("POST", "/v1/chat/completions", json=body) as answer:
        pieces = list(answer.iter_raw())
    assert b"[DONE]" not in pieces[0]
    assert len(pieces) > 1
    *events, done = b"".join(pieces).decode().strip().split("\n\n")
    assert {json.loads(e.removeprefix("data: "))["model"] for e in events} == {"policy@base"}
    assert done == "data: [DONE]"


def test_completions_by_token_ids_give_what_rollouts_need(server: Server) -> None:
    """Token ids, a log-probability for each, drawn from the distribution as it is."""
    answer = server.complete(return_token_ids=True, logprobs=0, top_k=0, seed=3).json()
    choice = answer["choices"][0]
    assert len(choice["token_ids"]) == len(choice["logprobs"]["token_logprobs"]) == 4
    base = AutoModelForCausalLM.from_pretrained(server.model)
    expected = logprobs_of(base, [PROMPT_IDS + choice["token_ids"]])[0][-4:]
    assert gap(choice["logprobs"]["token_logprobs"], expected) < 0.02


def test_a_merged_version_is_published_and_rolled_back(server: Server) -> None:
    """Its parity passes, it changes what is said, and `base` says again what it said before."""
    _, before = server.prompt_logprobs()
    answer = server.publish(server.merged("v1", seed=1))
    assert answer.status_code == 200, answer.text
    card = next(c for c in answer.json()["versions"] if c["name"] == "v1")
    assert card["loaded"]
    assert card["parity"] < 0.02
    name, after = server.prompt_logprobs()
    assert name == "policy@v1"
    assert gap(before, after) > 0.1
    server.activate("base")
    assert server.prompt_logprobs() == ("policy@base", before)


def test_a_version_with_a_wrong_probe_is_refused_and_the_old_one_serves(server: Server) -> None:
    """The engine's weights are those of before, byte for byte in what they compute."""
    server.publish(server.merged("good", seed=2))
    before = server.prompt_logprobs()
    answer = server.publish(server.merged("wrong", seed=3, off=0.3))
    assert (answer.status_code, answer.json()["error"]["code"]) == (409, "version_refused")
    assert "'good' keeps serving" in answer.json()["error"]["message"]
    assert server.prompt_logprobs() == before


def test_corrupt_weights_are_refused_before_the_engine_sees_them(server: Server) -> None:
    """A file that is cut off is named, and nothing is interrupted."""
    folder = server.merged("cut", seed=5)
    file = folder / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-100])
    manifest = json.loads((folder / MANIFEST).read_text("utf-8"))
    manifest["sha256"] = digest.of_folder(folder, leave_out=frozenset({MANIFEST}))
    (folder / MANIFEST).write_text(json.dumps(manifest), "utf-8")
    answer = server.publish(folder)
    assert answer.status_code == 409
    assert "model.safetensors is corrupt" in answer.json()["error"]["message"]
    assert server.prompt_logprobs()[0] == "policy@base"


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"model": "gpt-4"}, 404),
        ({"model": "policy@v99"}, 404),
        ({"max_tokens": 0}, 400),
        ({"max_tokens": 100_000}, 400),
        ({"prompt": [1, 10_000_000]}, 400),
        ({"prompt": "x" * 5000}, 400),
        ({"logprobs": -5}, 400),
    ],
)
def test_bad_requests_are_refused_in_openais_shape(
    server: Server, change: dict[str, Any], status: int
) -> None:
    """By the gateway or by the engine: the same shape, and the engine lives."""
    answer = server.http.post("/v1/completions", json={"prompt": [1], "max_tokens": 1, **change})
    assert answer.status_code == status
    assert answer.json()["error"]["message"]
    assert server.is_ready()


def test_no_log_holds_what_a_person_said(server: Server) -> None:
    """Neither the server's nor the engine's, whose developer mode would log a refused prompt."""
    mark = "mylefthandislame"
    said = {"messages": [{"role": "user", "content": mark}], "prompt": mark, "input": mark}
    wrong: list[dict[str, Any]] = [
        {"max_tokens": mark},
        {"messages": mark, "prompt": {"text": mark}},
        {"messages": [{"role": "user", "content": {"text": mark}}]},
        {"tools": [{"type": mark}], "stop": [1]},
        {"response_format": {"type": "json_schema", "json_schema": {"name": mark, "schema": mark}}},
        {"prompt": mark * 2000, "max_tokens": 2},
    ]
    paths = ("/v1/completions", "/v1/chat/completions", "/v1/responses", "/v1/messages")
    for path in (*paths, "/tokenize", "/detokenize"):
        for change in wrong:
            server.http.post(path, json={**said, **change})
    folder = server.model.parent
    logs = [folder / "server.log", *(folder / "state").glob("engine.log*")]
    assert len(logs) >= 2
    for log in logs:
        assert mark not in log.read_text("utf-8", errors="replace"), log.name


def test_the_engine_is_reached_through_the_gateway_alone(server: Server) -> None:
    """It listens on no port, where any program of the machine could pause it or change its
    weights, but on a socket in a folder for this user."""
    family = psutil.Process(server.process.pid).children(recursive=True)
    # The one that speaks HTTP, and the leash that holds it.
    named = {each: words for each in family if "--uds" in (words := each.cmdline())}
    (path,) = {words[words.index("--uds") + 1] for words in named.values()}
    assert Path(path).parent.stat().st_mode & 0o777 == 0o700
    with httpx.Client(transport=httpx.HTTPTransport(uds=path)) as beside:
        assert beside.get("http://engine/health").status_code == 200
    connections = [one for each in named for one in each.net_connections("inet")]
    assert [one for one in connections if one.status == psutil.CONN_LISTEN] == []


def test_a_request_id_reaches_the_engine(server: Server) -> None:
    """The answer's own id is made of it, with several prompts and choices, too."""
    headers = {"X-Request-Id": "run-7-0001"}
    for prompts, n in ((PROMPT_IDS, 1), ([PROMPT_IDS, PROMPT_IDS], 2)):
        body = {"prompt": prompts, "n": n, "max_tokens": 2}
        answer = server.http.post("/v1/completions", json=body, headers=headers)
        assert len(answer.json()["choices"]) in (1, 4)
        assert answer.json()["id"] == "cmpl-run-7-0001"
        assert answer.headers["X-Request-Id"] == "run-7-0001"


def test_a_scrape_is_one_valid_text(server: Server) -> None:
    """Every family once, and of vLLM those that the dashboard was made for."""
    server.complete()
    families = list(text_string_to_metric_families(server.http.get("/metrics").text))
    kinds = {family.name: family.type for family in families}
    assert len(kinds) == len(families)
    samples = [sample for family in families for sample in family.samples]
    assert {s.labels["engine"] for s in samples if s.name.startswith("vllm:")} == {"local"}
    if server.backend == "vllm":
        known = {
            name.removesuffix("_total") if kind == "counter" else name: kind
            for name, kind in VLLM_FAMILIES.items()
            if "lora" not in name
        }
        assert known.items() <= kinds.items()


def test_every_answer_is_written_by_the_version_that_it_names(server: Server) -> None:
    """Under load, two versions are swapped back and forth: no request fails, and each answer is
    what the version that it names always writes."""
    said = dict([greedy(server)])
    server.publish(server.merged("swap", seed=6))
    said |= dict([greedy(server)])
    with under_load(server) as load:
        for name in ("base", "swap") * (ACTIVATIONS[server.backend] // 2):
            server.activate(name)
            load.wait_for_an_answer_by(name)
    assert load.statuses().keys() == {200}
    assert load.written_by() == {name: {tokens} for name, tokens in said.items()}


def test_a_client_that_hangs_up_stops_the_generation(server: Server) -> None:
    """It ends long before all the tokens that were asked for are written."""
    before = server.metric("vllm:generation_tokens_total")
    body = {"prompt": PROMPT_IDS, "max_tokens": 1000, "ignore_eos": True, "stream": True}
    with server.http.stream("POST", "/v1/completions", json=body) as answer:
        next(answer.iter_raw())
    # A scrape may show the engine as it was a second ago.
    server.until(lambda: server.metric("vllm:generation_tokens_total") > before, limit_s=60)
    server.until(lambda: server.metric("vllm:num_requests_running") == 0, limit_s=60)
    assert server.metric("vllm:generation_tokens_total") - before < 800


@pytest.mark.prove
def test_a_killed_engine_comes_back_with_the_same_version(server: Server) -> None:
    """`kill -9` under load: whoever asks is answered by the version from before or told to come
    again, and that version serves again by itself."""
    server.publish(server.merged("kept", seed=7))
    before, said = server.prompt_logprobs(), greedy(server)
    restarts = server.metric("galen_server_engine_restarts")
    family = psutil.Process(server.process.pid).children(recursive=True)
    # vLLM's core, or the simple engine's one process, which was started last.
    youngest = max(family, key=psutil.Process.create_time)
    core = next((process for process in family if "EngineCor" in process.name()), youngest)
    with under_load(server) as load:
        os.kill(core.pid, signal.SIGKILL)
        server.until(lambda: not server.is_ready(), limit_s=30)
        server.until(server.is_ready)
    assert load.statuses().keys() == {200, 503}
    assert all(a.headers["Retry-After"] for a in load.answers if a.status_code == 503)
    assert load.written_by() == {said[0]: {said[1]}}
    assert server.metric("galen_server_engine_restarts") == restarts + 1
    name, after = server.prompt_logprobs()
    assert name == before[0] == "policy@kept"
    assert gap(before[1], after) < 0.001


@pytest.fixture(scope="module", params=["vllm"])
def adapter_server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    adapters = AdapterSettings(max_rank=8, max_loaded=2)
    bound = ("--max-num-batched-tokens", str(STEP_TOKENS))
    engine = EngineSettings(backend=request.param, arguments=bound)
    folder = tmp_path_factory.mktemp("adapters")
    with running(settings_for(folder, adapters=adapters, engine=engine)) as server:
        yield server


def writes(server: Server, name: str, model: Any) -> bool:
    """Whether what a version writes is drawn from this model: the log-probabilities agree."""
    answer = server.complete(name, return_token_ids=True, logprobs=0, top_k=0).json()
    choice = answer["choices"][0]
    expected = logprobs_of(model, [PROMPT_IDS + choice["token_ids"]])[0]
    told = choice["logprobs"]["token_logprobs"]
    return bool(answer["model"] == name and gap(told, expected[-len(told) :]) < 0.03)


def test_adapters_serve_side_by_side_with_the_base(adapter_server: Server) -> None:
    """PEFT adapters pass their probes under load, and each name writes as its own model does."""
    server = adapter_server
    base = AutoModelForCausalLM.from_pretrained(server.model)
    one, other = adapter_of(server, "one", seed=1), adapter_of(server, "other", seed=2)
    assert server.publish(one.folder).status_code == 200
    with ThreadPoolExecutor(4) as pool:
        answers = [pool.submit(server.complete, max_tokens=30) for _ in range(40)]
        published = server.publish(other.folder)
    assert published.status_code == 200, published.text
    assert next(c for c in published.json()["versions"] if c["name"] == "other")["parity"] < 0.02
    assert {answer.result().status_code for answer in answers} == {200}
    models = {"policy@base": base, "policy@one": one.model, "policy@other": other.model}
    for name, model in models.items():
        assert [writes(server, name, m) for m in models.values()] == [
            m is model for m in models.values()
        ]


def test_a_seed_holds_where_a_prompt_takes_several_steps(adapter_server: Server) -> None:
    """The engine lives on, and draws the same again."""
    prompt = PROMPT_IDS * (STEP_TOKENS // 4)
    drawn = [
        adapter_server.complete(prompt=[first, *prompt], return_token_ids=True, seed=5)
        .raise_for_status()
        .json()["choices"][0]["token_ids"]
        for first in (1, 1)
    ]
    assert drawn[0] == drawn[1]


def test_adapters_are_activated_back_and_forth_under_load(adapter_server: Server) -> None:
    """No request fails, and each answer is what the version that it names always writes."""
    server, said = adapter_server, {}
    for name, seed in (("left", 4), ("right", 5)):
        assert server.publish(adapter_of(server, name, seed=seed).folder).status_code == 200
        said |= dict([greedy(server)])
    with under_load(server) as load:
        for name in ("left", "right") * (ACTIVATIONS[server.backend] // 2):
            server.activate(name)
            load.wait_for_an_answer_by(name)
    assert load.statuses().keys() == {200}
    assert load.written_by() == {name: {tokens} for name, tokens in said.items()}


def test_an_adapter_that_changes_nothing_is_refused(adapter_server: Server) -> None:
    """An untrained adapter is the base, and would be taken for progress."""
    folder = adapter_of(adapter_server, "nothing", seed=3, trained=False).folder
    answer = adapter_server.publish(folder)
    assert (answer.status_code, answer.json()["error"]["code"]) == (409, "version_refused")
    assert "changes nothing" in answer.json()["error"]["message"]


def test_no_request_can_end_an_engine_with_adapters(adapter_server: Server) -> None:
    """Prompt log-probabilities, which would, are refused however they are asked for."""
    server = adapter_server
    with ThreadPoolExecutor(4) as pool:
        asked = [{"prompt_logprobs": 0}, {"echo": True, "logprobs": 0}] * 4
        answers = list(pool.map(lambda more: server.complete("base", **more), asked))
    assert {answer.status_code for answer in answers} == {422}
    assert server.complete("base").status_code == 200
    assert server.metric("galen_server_engine_restarts") == 0
