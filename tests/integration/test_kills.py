"""SIGKILL of trainer, judge, gateway and engine in one run, on the real engine."""

from __future__ import annotations

import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import psutil
import pytest
import yaml

from tests.integration.real_server import free_port

pytestmark = [pytest.mark.engine, pytest.mark.prove, pytest.mark.timeout(1200)]

ROOT = Path(__file__).parents[2]
BATCHES, SIZE, AT_ONCE = 12, 12, 3
VICTIMS = ["trainer"] * 4 + ["judge"] * 3 + ["gateway"] * 2 + ["engine"]
LIMIT_S = 300.0


@dataclass
class Stack:
    """The processes of a run, each started as a person starts it."""

    folder: Path
    ports: dict[str, int]
    environment: dict[str, str]
    running: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def start(self, name: str) -> None:
        words = {
            "trainer": ["train", "ppo.yaml"],
            "judge": ["judge", "serve", "stack.yaml"],
            "gateway": ["server", "serve", "stack.yaml"],
        }[name]
        command = [sys.executable, "-m", "cli.main", *words]
        with (self.folder / f"{name}.log").open("ab") as log:
            self.running[name] = subprocess.Popen(
                command, cwd=self.folder, env=self.environment, stdout=log, stderr=log
            )

    def kill(self, name: str) -> None:
        """SIGKILL; whoever watches over a service starts it again, and a person the trainer."""
        if name == "engine":
            for each in psutil.Process(self.running["gateway"].pid).children(recursive=True):
                with suppress(psutil.NoSuchProcess):
                    if "vllm" in " ".join(each.cmdline()):
                        each.kill()
            return
        self.running[name].send_signal(signal.SIGKILL)
        self.running[name].wait()
        self.start(name)

    def is_ready(self, name: str) -> bool:
        with suppress(httpx.HTTPError):
            url = f"http://127.0.0.1:{self.ports[name]}/readyz"
            return httpx.get(url, trust_env=False).status_code == 200
        return False

    @property
    def drawn(self) -> int:
        """Bytes of what was drawn and judged so far: they grow while a batch is drawn."""
        kept = (self.folder / "runs/kills/samples").glob("*.journal")
        return sum(path.stat().st_size for path in kept)


def until(happened: object, what: str) -> None:
    assert callable(happened)
    deadline = time.monotonic() + LIMIT_S
    while not happened():
        assert time.monotonic() < deadline, f"{what} within {LIMIT_S:.0f} s"
        time.sleep(0.05)


@pytest.fixture
def teacher() -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "tests.fakes.teacher_process", "0.1"]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, cwd=ROOT, stdin=pipe, stdout=pipe, text=True) as process:
        yield process


@pytest.fixture
def stack(tmp_path: Path, teacher: subprocess.Popen[str]) -> Iterator[Stack]:
    assert teacher.stdout is not None
    ports = {"gateway": free_port(), "judge": free_port()}
    keys = {"DEEPSEEK_API_KEY": "any", "JUDGE_BASE_URL": teacher.stdout.readline().strip()}
    environment = {**os.environ, **keys, "PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1"}
    environment.pop("GALEN_KEYS", None)
    found = Stack(tmp_path, ports, environment)
    demo = ROOT / "data/demo"
    urls = {"server": "gateway", "judge": "judge"}
    services = {field: f"http://127.0.0.1:{ports[name]}" for field, name in urls.items()}
    common = {"cpu_threads": 1, "use_instruction": False}
    recipes = {
        "sft.yaml": {
            **common, "stage": "sft", "run": "sft", "demo_model": {"hidden": 64, "layers": 2},
            "lora": None, "train": [str(demo / "sft.jsonl")], "epochs": 1, "batch_size": 16,
            "learning_rate": 0.003,
        },
        "ppo.yaml": {
            **common, "stage": "ppo", "run": "kills", "model": "runs/sft/final",
            "prompts": [str(demo / "rl_prompts.jsonl")], "publish": "merged", "lora": None,
            "services": {**services, "allow_unqualified": True, "concurrency": AT_ONCE,
                         "drift_every": 0},
            "critic": {"layers": 1}, "batches": BATCHES, "batch_size": SIZE,
            "mini_batch_size": 4, "epochs": 1, "max_new_tokens": 64, "learning_rate": 0.0005,
            "save_every": 3, "keep_versions": 2, "preflight": False,
        },
        "stack.yaml": {
            "name": "kills", "prepare": ["sft.yaml"], "train": [], "compare": None,
            "server": {"model": "runs/sft/final", "port": ports["gateway"],
                       "engine": {"dtype": "float32"}},
            "judge": {"port": ports["judge"]}, "webui": {"port": free_port(), "rehearsal": True},
        },
    }  # fmt: skip
    for name, content in recipes.items():
        (tmp_path / name).write_text(yaml.safe_dump(content), "utf-8")
    galen(found, "train", "sft.yaml")
    for name in ("judge", "gateway"):
        found.start(name)
        until(lambda name=name: found.is_ready(name), f"{name} is ready")
    yield found
    for name, process in found.running.items():  # a trainer would wait for its batch
        process.send_signal(signal.SIGKILL if name == "trainer" else signal.SIGTERM)
        process.wait()


def galen(stack: Stack, *words: str) -> str:
    command = [sys.executable, "-m", "cli.main", *words]
    done = subprocess.run(
        command, cwd=stack.folder, env=stack.environment, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_ten_kills_cost_neither_a_prompt_nor_a_verdict(
    stack: Stack, teacher: subprocess.Popen[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """Each batch once, with all of its prompts and none failed; of the teacher's answers only what
    the judge was waiting for when it was killed is paid twice; the weights are the replay's."""
    chance = random.Random(11)
    victims = chance.sample(VICTIMS, len(VICTIMS))
    stack.start("trainer")
    began = time.monotonic()
    for victim in victims:
        before = stack.drawn
        until(lambda before=before: stack.drawn != before, f"the run goes on before {victim}")
        time.sleep(chance.uniform(0, 1.0))
        assert stack.running["trainer"].poll() is None, "the trainer ended too early"
        stack.kill(victim)
    assert stack.running["trainer"].wait(LIMIT_S) == 0, (stack.folder / "trainer.log").read_text()
    took_s = time.monotonic() - began
    run = stack.folder / "runs/kills"
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text("utf-8").splitlines()]
    assert [row["batch"] for row in rows] == list(range(1, BATCHES + 1))
    counts = {name: sum(row[name] for row in rows) for name in ("expected", "failed", "foreign")}
    assert counts == {"expected": BATCHES * SIZE, "failed": 0, "foreign": 0}
    for path in (run / "completions").glob("batch-*.jsonl"):
        assert len(path.read_text("utf-8").splitlines()) == SIZE
    with closing(sqlite3.connect(stack.folder / ".galen/judge.sqlite3")) as ledger:
        ((verdicts,),) = ledger.execute("SELECT count(*) FROM verdicts").fetchall()
    assert "equal byte for byte" in galen(stack, "train", "ppo.yaml", "--replay", "kills")
    said, _ = teacher.communicate()
    calls = int(said.split()[0])
    anew = sum(row.get("drawn_anew", 0) for row in rows)
    with capsys.disabled():
        print(f"\n{len(victims)} kills in {took_s:.0f} s: {calls} calls for {verdicts} verdicts,"
              f" {anew} of {BATCHES * SIZE} drawn after a kill")  # fmt: skip
    assert calls - verdicts <= VICTIMS.count("judge") * AT_ONCE
