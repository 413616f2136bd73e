"""The policy server with real engines: versions of a toy Qwen3 served, swapped and refused.

Every law is held against vLLM and against the simple engine. Of each kind one engine serves merged
weights to the tests above and one serves adapters to the last ones; each starts once.

Shapes: B sequences, T tokens.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import httpx
import psutil
import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM

from galen import digest
from server.schemas import MANIFEST, Kind
from server.settings import AdapterSettings, EngineSettings, ServerSettings
from trainer import demo_model
from trainer.recipes import DemoModel

pytestmark = pytest.mark.engine

Backend = Literal["vllm", "transformers"]
BACKENDS: tuple[Backend, ...] = get_args(Backend)
PROMPT_IDS = [1, 20, 33, 54, 76, 98, 120, 77]
PROBE_IDS = [PROMPT_IDS, [1, 30, 40, 50, 60]]
START_LIMIT_S = 240.0
TEXTS = ["患者咳嗽发热三天，建议尽快就医检查。", "头痛的原因很多，需要医生面诊。"] * 20
SERVE = """
import sys
from server.app import serve
from server.settings import ServerSettings
serve(ServerSettings.model_validate_json(sys.argv[1]))
"""


def logprobs_of(model: Any, ids_BT: list[list[int]]) -> list[list[float]]:
    """log p of each token after the first, in float32."""
    rows = []
    for ids in ids_BT:
        with torch.no_grad():
            logits = model(torch.tensor([ids])).logits[0, :-1].float().log_softmax(-1)
        rows.append(logits[range(len(ids) - 1), ids[1:]].tolist())
    return rows


def perturb(model: Any, *, seed: int, embeddings: bool = False) -> None:
    """Change the weights by noise, so that the model says something else."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if embeddings or "embed" not in name:
                weight.add_(torch.randn(weight.shape, generator=generator) * 0.05)


def write_manifest(folder: Path, kind: Kind, logprobs_BT: list[list[float]]) -> Path:
    manifest = {
        "name": folder.name,
        "kind": kind,
        "sha256": digest.of_folder(folder),
        "probe": {"token_ids": PROBE_IDS, "token_logprobs": logprobs_BT},
    }
    (folder / MANIFEST).write_text(json.dumps(manifest), "utf-8")
    return folder


@dataclass
class Server:
    """A running server and what may be done with it."""

    http: httpx.Client
    process: subprocess.Popen[bytes]
    model: Path
    versions: Path

    def merged(self, name: str, *, seed: int, off: float = 0.0, embeddings: bool = False) -> Path:
        """A merged version; `off` nats are added to what its probe claims."""
        model = AutoModelForCausalLM.from_pretrained(self.model)
        perturb(model, seed=seed, embeddings=embeddings)
        model.save_pretrained(self.versions / name)
        claimed = [[value + off for value in row] for row in logprobs_of(model, PROBE_IDS)]
        return write_manifest(self.versions / name, "merged", claimed)

    def publish(self, folder: Path, *, activate: bool = True) -> httpx.Response:
        body = {"name": folder.name, "path": str(folder), "activate": activate}
        return self.http.post("/policy/versions", json=body)

    def activate(self, name: str) -> None:
        self.http.post("/policy/activate", json={"name": name}).raise_for_status()

    def complete(self, model: str = "policy", **more: Any) -> httpx.Response:
        body = {"model": model, "prompt": PROMPT_IDS, "max_tokens": 4, **more}
        return self.http.post("/v1/completions", json=body)

    def prompt_logprobs(self, model: str = "policy") -> tuple[str, list[float]]:
        """The version that answers, and what it thinks of the prompt: its fingerprint."""
        answer = self.complete(model, prompt_logprobs=0).raise_for_status().json()
        rows = zip(answer["choices"][0]["prompt_logprobs"][1:], PROMPT_IDS[1:], strict=True)
        return answer["model"], [row[str(token)]["logprob"] for row, token in rows]

    def metric(self, name: str) -> float:
        lines = self.http.get("/metrics").text.splitlines()
        return sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith(name))

    def until(self, happened: Callable[[], bool], limit_s: float = START_LIMIT_S) -> None:
        deadline = time.monotonic() + limit_s
        while not happened():
            assert self.process.poll() is None, "the server has ended"
            assert time.monotonic() < deadline, f"it did not happen within {limit_s:.0f} s"
            time.sleep(0.2)

    def is_ready(self) -> bool:
        try:
            return self.http.get("/readyz").status_code == 200
        except httpx.TransportError:
            return False


def gap(one: list[float], other: list[float]) -> float:
    return sum(abs(a - b) for a, b in zip(one, other, strict=True)) / len(one)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def running(folder: Path, adapters: AdapterSettings | None, backend: Backend) -> Iterator[Server]:
    """A server with an engine of its own, ended with it."""
    demo_model.build(DemoModel(vocabulary=400, layers=2), TEXTS, folder / "base", seed=0)
    settings = ServerSettings(
        model=folder / "base",
        port=free_port(),
        state=folder / "state",
        versions_root=folder / "versions",
        adapters=adapters,
        engine=EngineSettings(backend=backend),
    )
    settings.versions_root.mkdir()
    words = [sys.executable, "-c", SERVE, settings.model_dump_json()]
    log = folder / "server.log"
    root = Path(__file__).parents[2]
    with (
        log.open("wb") as out,
        subprocess.Popen(words, stdout=out, stderr=out, cwd=root) as process,
    ):
        url = f"http://127.0.0.1:{settings.port}"
        with httpx.Client(base_url=url, timeout=60, trust_env=False) as http:
            server = Server(http, process, settings.model, settings.versions_root)
            try:
                server.until(server.is_ready)
                yield server
                family = psutil.Process(process.pid).children(recursive=True)
            finally:
                process.terminate()
                process.wait(30)
    _, alive = psutil.wait_procs(family, timeout=10)
    assert [p for p in alive if p.status() != psutil.STATUS_ZOMBIE] == []


@pytest.fixture(scope="module", params=BACKENDS)
def merged_server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    yield from running(tmp_path_factory.mktemp("merged"), None, request.param)


@pytest.fixture
def server(merged_server: Server) -> Server:
    """The server for merged weights, with its base serving."""
    merged_server.activate("base")
    return merged_server


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
        "max_tokens": 100,
        "ignore_eos": True,
        "stream": True,
    }
    with server.http.stream("POST", "/v1/chat/completions", json=body) as answer:
        pieces = list(answer.iter_raw())
    assert b"[DONE]" not in pieces[0]
    assert len(pieces) > 10
    *events, done = b"".join(pieces).decode().strip().split("\n\n")
    assert {json.loads(e.removeprefix("data: "))["model"] for e in events} == {"policy@base"}
    assert done == "data: [DONE]"


def test_completions_by_token_ids_give_what_rollouts_need(server: Server) -> None:
    """Token ids, a log-probability for each, drawn from the distribution as it is."""
    answer = server.complete(return_token_ids=True, logprobs=0, top_k=0, seed=3).json()
    choice = answer["choices"][0]
    assert choice["prompt_token_ids"] == PROMPT_IDS
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


def test_changed_embeddings_do_not_slip_through(server: Server) -> None:
    """vLLM on a CPU keeps its old copy of a tied head; the probe finds the mixture out."""
    before = server.prompt_logprobs()
    answer = server.publish(server.merged("embeddings", seed=4, embeddings=True))
    if answer.status_code == 200:  # An engine without that fault serves it rightly.
        assert server.prompt_logprobs()[0] == "policy@embeddings"
    else:
        assert answer.json()["error"]["code"] == "version_refused"
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


def test_every_answer_is_written_by_the_version_that_it_names(server: Server) -> None:
    """Under load, versions are swapped back and forth: no answer fails and none is mislabelled."""
    said = {"policy@base": server.prompt_logprobs()[1]}
    server.publish(server.merged("swap", seed=6))
    said["policy@swap"] = server.prompt_logprobs()[1]
    with ThreadPoolExecutor(8) as pool:
        answers = [pool.submit(server.prompt_logprobs) for _ in range(60)]
        for name in ("base", "swap", "base", "swap"):
            server.activate(name)
        answers += [pool.submit(server.prompt_logprobs) for _ in range(20)]
    for name, logprobs in (answer.result() for answer in answers):
        assert gap(logprobs, said[name]) < 0.02
    assert {answer.result()[0] for answer in answers} == {"policy@base", "policy@swap"}


def test_a_client_that_hangs_up_stops_the_generation(server: Server) -> None:
    """It ends long before all the tokens that were asked for are written."""
    before = server.metric("vllm:generation_tokens_total")
    body = {"prompt": PROMPT_IDS, "max_tokens": 1000, "ignore_eos": True, "stream": True}
    with server.http.stream("POST", "/v1/completions", json=body) as answer:
        next(answer.iter_raw())
    server.until(lambda: server.metric("vllm:num_requests_running") == 0, limit_s=60)
    assert 0 < server.metric("vllm:generation_tokens_total") - before < 800


def test_a_killed_engine_comes_back_with_the_same_version(server: Server) -> None:
    """`kill -9`: requests are told to retry, and the version from before serves again by itself."""
    server.publish(server.merged("kept", seed=7))
    before = server.prompt_logprobs()
    restarts = server.metric("galen_server_engine_restarts")
    family = psutil.Process(server.process.pid).children(recursive=True)
    # vLLM's core, or the simple engine's one process, which was started last.
    youngest = max(family, key=psutil.Process.create_time)
    core = next((process for process in family if "EngineCor" in process.name()), youngest)
    os.kill(core.pid, signal.SIGKILL)
    server.until(lambda: not server.is_ready(), limit_s=30)
    answer = server.complete()
    assert answer.status_code == 503
    assert int(answer.headers["Retry-After"]) >= 1
    server.until(server.is_ready)
    assert server.metric("galen_server_engine_restarts") == restarts + 1
    name, after = server.prompt_logprobs()
    assert name == before[0] == "policy@kept"
    assert gap(before[1], after) < 0.001


@pytest.fixture(scope="module", params=BACKENDS)
def adapter_server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    adapters = AdapterSettings(max_rank=8, max_loaded=2)
    yield from running(tmp_path_factory.mktemp("adapters"), adapters, request.param)


@dataclass
class Adapted:
    """A PEFT model and the adapter's folder that it was written to."""

    model: Any
    folder: Path


def adapter_of(server: Server, name: str, *, seed: int, trained: bool = True) -> Adapted:
    torch.manual_seed(seed)
    config = LoraConfig(
        r=8, lora_alpha=16, target_modules="all-linear", init_lora_weights=not trained
    )
    base = AutoModelForCausalLM.from_pretrained(server.model)
    model = get_peft_model(base, config).eval()
    model.save_pretrained(server.versions / name)
    claimed = logprobs_of(model, PROBE_IDS)
    return Adapted(model, write_manifest(server.versions / name, "adapter", claimed))


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
