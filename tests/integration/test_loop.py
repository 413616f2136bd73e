"""The whole loop on the real engine: SFT, services, PPO that is killed half-way, comparison.

Small on purpose: it shows that every joint holds, `make up` shows that it learns.
"""

from __future__ import annotations

import csv
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
import yaml

pytestmark = [pytest.mark.engine, pytest.mark.timeout(600)]

ROOT = Path(__file__).parents[2]
BATCHES = 4
LIMIT_S = 240.0


def free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [s.getsockname()[1] for s in sockets]
    for s in sockets:
        s.close()
    return ports


@dataclass(frozen=True)
class Loop:
    """A stack in a folder of its own, driven as a person drives it: by `galen`."""

    folder: Path
    server: str
    judge: str
    webui: str

    def galen(self, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "cli.main", *words],
            cwd=self.folder,
            env=environment(),
            capture_output=True,
            text=True,
            timeout=LIMIT_S,
            check=False,
        )

    def start(self, *words: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "cli.main", *words]
        quiet = subprocess.DEVNULL
        return subprocess.Popen(
            command, cwd=self.folder, env=environment(), stdout=quiet, stderr=quiet
        )

    def rewards(self) -> list[dict[str, str]]:
        path = self.folder / "runs/loop-ppo/rewards.csv"
        if not path.is_file():
            return []
        with path.open(encoding="utf-8") as file:
            return list(csv.DictReader(file))


def environment() -> dict[str, str]:
    keyless = {k: v for k, v in os.environ.items() if k not in ("DEEPSEEK_API_KEY", "GALEN_KEYS")}
    return {**keyless, "PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1"}


def write(path: Path, content: dict[str, object]) -> None:
    path.write_text(yaml.safe_dump(content), "utf-8")


@pytest.fixture(scope="module")
def loop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Loop]:
    folder = tmp_path_factory.mktemp("loop")
    ports = free_ports(3)
    server, judge, webui = (f"http://127.0.0.1:{port}" for port in ports)
    held_out = (ROOT / "data/demo/held_out.jsonl").read_text("utf-8").splitlines()[:4]
    (folder / "held_out.jsonl").write_text("\n".join(held_out), "utf-8")
    services = {"server": server, "judge": judge, "allow_mock": True, "allow_unqualified": True}
    model = {"hidden": 64, "layers": 2}
    demo = ROOT / "data/demo"
    common = {"cpu_threads": 1, "use_instruction": False}
    write(folder / "sft.yaml", {
        **common, "stage": "sft", "run": "loop-sft", "demo_model": model, "lora": None,
        "train": [str(demo / "sft.jsonl")], "epochs": 2, "batch_size": 16, "learning_rate": 0.003,
    })  # fmt: skip
    write(folder / "ppo.yaml", {
        **common, "stage": "ppo", "run": "loop-ppo", "model": "runs/loop-sft/final",
        "prompts": [str(demo / "rl_prompts.jsonl")], "publish": "merged", "services": services,
        "lora": {"r": 8, "alpha": 16, "dropout": 0.0}, "critic": {"layers": 1},
        "batches": BATCHES, "batch_size": 8, "mini_batch_size": 4, "epochs": 1,
        "max_new_tokens": 48, "learning_rate": 0.0005, "save_every": 1, "keep_versions": 1,
    })  # fmt: skip
    write(folder / "compare.yaml", {
        **common, "stage": "compare", "run": "loop-compare", "model": "runs/loop-sft/final",
        "candidate": "run:loop-ppo", "prompts": ["held_out.jsonl"], "samples": 2,
        "max_new_tokens": 48, "services": services, "resamples": 200,
    })  # fmt: skip
    write(folder / "stack.yaml", {
        "name": "loop", "prepare": ["sft.yaml"], "train": [], "compare": None,
        "server": {
            "model": "runs/loop-sft/final", "port": ports[0], "engine": {"dtype": "float32"},
        },
        "judge": {"port": ports[1]}, "webui": {"port": ports[2], "rehearsal": True},
    })  # fmt: skip
    stack = Loop(folder, server, judge, webui)
    up = stack.galen("up", "stack.yaml")
    assert up.returncode == 0, up.stdout + up.stderr
    assert "curl -N" in up.stdout
    yield stack
    down = stack.galen("down")
    assert down.returncode == 0, down.stderr
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{stack.server}/healthz", trust_env=False)


def test_all_three_services_answer(loop: Loop) -> None:
    """After `galen up` the server is ready, the judge says that it is a mock, the page is there."""
    assert httpx.get(f"{loop.server}/readyz", trust_env=False).status_code == 200
    assert httpx.get(f"{loop.judge}/readyz", trust_env=False).json()["provider"] == "mock"
    page = httpx.get(loop.webui, trust_env=False)
    assert page.status_code == 200


def test_a_killed_run_is_finished_by_the_same_command(loop: Loop) -> None:
    """SIGKILL half-way, the same command again: every batch once, and the last version serves."""
    first = loop.start("train", "ppo.yaml")
    deadline = time.monotonic() + LIMIT_S
    while len(loop.rewards()) < BATCHES // 2 and first.poll() is None:
        assert time.monotonic() < deadline, "no progress before the kill"
        time.sleep(0.1)
    first.send_signal(signal.SIGKILL)
    assert first.wait() == -signal.SIGKILL
    again = loop.galen("train", "ppo.yaml")
    assert again.returncode == 0, again.stdout + again.stderr
    assert [str(n) for n in range(1, BATCHES + 1)] == [row["batch"] for row in loop.rewards()]
    run = loop.folder / "runs/loop-ppo"
    manifest = json.loads((run / "manifest.json").read_text("utf-8"))
    policy = httpx.get(f"{loop.server}/policy", trust_env=False).json()
    assert manifest["finished"]
    assert manifest["version"] == policy["current"]
    for name in (
        "metrics.jsonl",
        "training.log",
        "tensorboard",
        "versions",
        "final",
        "recipe.yaml",
    ):
        assert (run / name).exists(), name
    assert float(loop.rewards()[-1]["kl"]) != 0.0


def test_the_answer_names_the_version_that_ppo_published(loop: Loop) -> None:
    """A chat answer comes from the last version, in body and header alike."""
    body = {"model": "policy", "max_tokens": 8, "messages": [{"role": "user", "content": "头痛？"}]}
    answer = httpx.post(
        f"{loop.server}/v1/chat/completions", json=body, trust_env=False, timeout=60
    )
    current = httpx.get(f"{loop.server}/policy", trust_env=False).json()["current"]
    assert current.startswith("loop-ppo-")
    assert f"policy@{current}" == answer.json()["model"]
    assert current == answer.headers["X-Policy-Version"]


def test_chat_and_rollouts_see_the_same_prompt(loop: Loop) -> None:
    """The server's chat template gives the very token ids that the trainer sends."""
    from trainer.model import load_tokenizer, prompt_ids  # noqa: PLC0415  # loads torch

    tokenizer = load_tokenizer(loop.folder / "runs/loop-sft/final")
    body = {"model": "policy", "messages": [{"role": "user", "content": "头痛两天怎么办？"}]}
    served = httpx.post(f"{loop.server}/tokenize", json=body, trust_env=False, timeout=60).json()
    assert prompt_ids(tokenizer, "头痛两天怎么办？") == served["tokens"]


def test_the_comparison_is_written_and_said(loop: Loop) -> None:
    """`galen compare` prints the interval and leaves numbers and a page."""
    found = loop.galen("compare", "compare.yaml")
    assert found.returncode == 0, found.stdout + found.stderr
    assert "reward: " in found.stdout
    assert "mock" in found.stdout
    folder = loop.folder / "runs/loop-compare"
    (facts,) = json.loads((folder / "comparison.json").read_text("utf-8"))
    reward = facts["differences"][0]
    assert (reward["measure"], reward["prompts"]) == ("reward", 4)
    assert (folder / "comparison.html").is_file()


def test_a_finished_run_is_not_trained_again(loop: Loop) -> None:
    """The same recipe a second time changes nothing; with another field it is refused."""
    before = loop.rewards()
    assert loop.galen("train", "ppo.yaml").returncode == 0
    other = loop.galen("train", "ppo.yaml", "--set", "learning_rate=0.1")
    assert other.returncode == 1
    assert "another recipe" in other.stderr
    assert before == loop.rewards()
