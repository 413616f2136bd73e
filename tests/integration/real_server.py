"""Policy servers as operators start them, each with a real engine on a toy Qwen3, for tests.

Shapes: B sequences, T tokens.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import httpx
import psutil
import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM

from galen import digest
from galen.keys import KEYS_VARIABLE
from server.schemas import MANIFEST, Kind
from server.settings import ServerSettings
from trainer import demo_model
from trainer.recipes import DemoModel

Backend = Literal["vllm", "transformers"]
VLLM_FIRST = ("vllm", pytest.param("transformers", marks=pytest.mark.prove))
"""For laws that hold for both, where the simple engine's turn is a longer proof."""
KEYS = {role: f"a-{role}s-key" for role in ("user", "rollout", "admin")}
SLOW_KEY = "a-slow-key"
KEY_LINES = ",".join([*(f"{r}:{r}:{key}" for r, key in KEYS.items()), f"slow:user:{SLOW_KEY}:1"])
PROMPT_IDS = [1, 20, 33, 54, 76, 98, 120, 77]
PROBE_IDS = [PROMPT_IDS, [1, 30, 40, 50, 60]]
START_LIMIT_S = 240.0
TEXTS = ["患者咳嗽发热三天，建议尽快就医检查。", "头痛的原因很多，需要医生面诊。"] * 20
NO_THOUGHT = r"{{- '<think>\n\n</think>\n\n' -}}"
A_THOUGHT = r"{%- else -%}{{- '<think>\n' -}}"
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
    backend: Backend = "vllm"

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


def gap(one: list[float], other: list[float]) -> float:
    return sum(abs(a - b) for a, b in zip(one, other, strict=True)) / len(one)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def build_base(folder: Path) -> Path:
    """A toy whose template opens the thought in the prompt, unless thinking is switched off."""
    demo_model.build(DemoModel(vocabulary=400, layers=2), TEXTS, folder, seed=0)
    template = folder / "chat_template.jinja"
    before, empty_thought, after = template.read_text("utf-8").partition(NO_THOUGHT)
    assert empty_thought
    template.write_text(f"{before}{NO_THOUGHT}{A_THOUGHT}{after}", "utf-8")
    return folder


def settings_for(folder: Path, **changed: Any) -> ServerSettings:
    """A server with everything in `folder`, a new base model too."""
    versions = folder / "versions"
    versions.mkdir()
    return ServerSettings(
        model=build_base(folder / "base"),
        port=free_port(),
        state=folder / "state",
        versions_root=versions,
        **changed,
    )


@contextlib.contextmanager
def running(settings: ServerSettings, *, key_lines: str = "", key: str = "") -> Iterator[Server]:
    """A server in a process of its own, ready; nothing of it is left afterwards.

    `key_lines` are its keys, `key` is the one that the client sends.
    """
    words = [sys.executable, "-c", SERVE, settings.model_dump_json()]
    log = settings.state.parent / "server.log"
    root = Path(__file__).parents[2]
    environment = {**os.environ, KEYS_VARIABLE: key_lines}
    with (
        log.open("ab") as out,
        subprocess.Popen(words, stdout=out, stderr=out, cwd=root, env=environment) as process,
    ):
        url = f"http://127.0.0.1:{settings.port}"
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        with httpx.Client(base_url=url, timeout=60, trust_env=False, headers=headers) as http:
            server = Server(
                http, process, settings.model, settings.versions_root, settings.engine.backend
            )
            family: list[psutil.Process] = []
            try:
                server.until(server.is_ready)
                yield server
                if process.poll() is None:
                    family = psutil.Process(process.pid).children(recursive=True)
            finally:
                process.terminate()
                process.wait(60)
    _, alive = psutil.wait_procs(family, timeout=60)
    assert [p for p in alive if p.status() != psutil.STATUS_ZOMBIE] == []
