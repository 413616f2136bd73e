"""The processes that a benchmark measures: context managers, each on a free port."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import httpx

from benchmarks._load import Address

ROOT = Path(__file__).resolve().parents[1]
_START_LIMIT_S = 60


@contextmanager
def bare_route() -> Iterator[int]:
    """The port of a FastAPI app whose route reads nothing and answers a constant."""
    with process([sys.executable, str(Path(__file__).with_name("_bare.py"))], "/healthz") as port:
        yield port


@contextmanager
def judge(
    folder: Path,
    *,
    teacher_url: str | None = None,
    settings: Sequence[str] = (),
    database: str = "judge.sqlite3",
) -> Iterator[int]:
    """The port of a judge, started by `galen judge serve`, with its files in `folder`.

    Without `teacher_url` its teacher is the mock.
    """
    overrides = [f"judge.database_url=sqlite:///{folder / database}", *settings]
    command = [sys.executable, "-m", "cli.main", "judge", "serve"]
    arguments = [part for override in overrides for part in ("--set", override)]
    environment = {"DEEPSEEK_API_KEY": ""}
    if teacher_url:
        environment = {"DEEPSEEK_API_KEY": "any", "JUDGE_BASE_URL": teacher_url}
    log = folder / "judge.log"
    with process(
        [*command, *arguments, "--set", "judge.port={port}"], "/readyz", environment, log
    ) as port:
        yield port


@contextmanager
def teacher(latency_s: float = 0.0, at_once: int | None = None) -> Iterator[int]:
    """The port of a teacher that answers after `latency_s`, and with 429 beyond `at_once` calls."""
    command = [sys.executable, str(Path(__file__).with_name("_teacher.py"))]
    with process([*command, str(latency_s), str(at_once or 0)], "/calls") as port:
        yield port


def get(address: Address, path: str) -> bytes:
    """The body of an answer. Raises `httpx.HTTPError` if there is none or it is an error."""
    is_socket = isinstance(address, Path)
    transport = httpx.HTTPTransport(uds=str(address) if is_socket else None)
    host = "engine" if is_socket else f"127.0.0.1:{address}"
    with httpx.Client(transport=transport, timeout=10, trust_env=False) as client:
        return client.get(f"http://{host}{path}").raise_for_status().content


def ours() -> dict[str, str]:
    """This environment, with Galen on the Python path."""
    return {**os.environ, "PYTHONPATH": str(ROOT)}


@contextmanager
def process(
    command: Sequence[str],
    ready_path: str,
    environment: Mapping[str, str] | None = None,
    log: Path | None = None,
    start_limit_s: float = _START_LIMIT_S,
) -> Iterator[int]:
    """Start `command` and wait until it is ready. `{port}` becomes a free port; without it the port
    is the last argument."""
    port = _free_port()
    filled = [part.replace("{port}", str(port)) for part in command]
    if filled == list(command):
        filled.append(str(port))
    with (log or Path(os.devnull)).open("ab") as output:
        started = subprocess.Popen(
            filled,
            cwd=ROOT,
            env={**ours(), **(environment or {})},
            stdout=output,
            stderr=output,
        )
        try:
            _wait_until_ready(started, port, ready_path, output, start_limit_s)
            yield port
        finally:
            started.terminate()
            started.wait(timeout=60)


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
    return port


def _wait_until_ready(
    process: subprocess.Popen[bytes], port: int, path: str, output: BinaryIO, limit_s: float
) -> None:
    deadline = time.monotonic() + limit_s
    while time.monotonic() < deadline:
        if process.poll() is not None:
            log = Path(output.name).read_text("utf-8", errors="replace")[-2000:]
            raise SystemExit(f"{process.args!r} ended with {process.returncode}:\n{log}")
        try:
            get(port, path)
        except httpx.HTTPError:
            time.sleep(0.1)
        else:
            return
    raise SystemExit(f"{process.args!r} was not ready within {limit_s:.0f} s")
