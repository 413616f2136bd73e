"""How vLLM is started: its command line, its environment, and what its log says when it fails."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

from server.engines import leash, worker
from server.engines.machine import is_cpu_build
from server.settings import ServerSettings

_SECRET_NAME = re.compile(
    r"(?<![A-Z])(?:API|ACCESS)?(?:KEY|TOKEN|SECRET|CREDENTIAL)S?(?![A-Z])|PASSW(?:OR)?D|PASSPHRASE",
    re.IGNORECASE,
)
_SECRET_VALUE = re.compile(r"://[^/\s]*:[^/\s]*@")
"""A URL with a password."""
_NO_SECRETS = re.compile(r"VLLM_(?!API_KEY)")
"""vLLM's own settings, in which a token is a piece of text."""
LONGEST_REASON = 400
"""Characters."""
TAIL_BYTES = 65536
SOCKETS_VARIABLE = "VLLM_RPC_BASE_PATH"
"""The folder for the sockets by which vLLM's own processes speak with each other."""
_ERROR = re.compile(r"(?:\b\w*(?:Error|Exception)|\berror): .+")
_HARMLESS = re.compile(r" (?:DEBUG|INFO|WARNING) \d\d-\d\d ")
_CONSEQUENCE = "root cause"


def command(settings: ServerSettings, socket: Path, served_name: str) -> list[str]:
    """The command line of an engine for these settings: vLLM's OpenAI server or the simple one.

    It listens on `socket` alone, which must not exist yet.
    """
    if settings.engine.backend == "transformers":
        return _simple_command(settings, socket, served_name)
    engine, adapters = settings.engine, settings.adapters
    # The `vllm` command of the CPU wheel looks up a distribution name that it does not have.
    words = [sys.executable, "-P", "-m", "vllm.entrypoints.launchers.api_server.entry"]
    options = {
        "--model": str(settings.model.resolve()),
        "--served-model-name": served_name,
        "--uds": str(socket),
        # At its end vLLM names in its log whoever listens on its port, used or not.
        "--port": "0",
        "--dtype": engine.dtype,
        "--max-model-len": str(engine.max_model_len),
        # Else the model's own temperature and top_p fill in whatever a request leaves out.
        "--generation-config": "vllm",
        "--load-format": "safetensors",  # else it would unpickle what it finds without them
        "--logprobs-mode": "processed_logprobs",
        "--reasoning-parser": "qwen3",
        "--tool-call-parser": "hermes",  # Qwen3 calls tools as Hermes models do
        "--scheduling-policy": "priority",
        "--worker-extension-cls": f"{worker.__name__}.{worker.ReloadExtension.__name__}",
    }
    if isinstance(engine.kv_cache_bytes, int):
        options["--kv-cache-memory-bytes"] = str(engine.kv_cache_bytes)
    if adapters:
        # One more than are loaded, so that a new one is probed while all the others serve.
        options["--max-lora-rank"] = str(adapters.max_rank)
        options["--max-loras"] = str(adapters.max_loaded + 1)
        options["--max-cpu-loras"] = str(2 * (adapters.max_loaded + 1))
    # In vLLM's developer mode every refused request is logged with a trace that holds its prompt.
    switches = ["--disable-uvicorn-access-log", "--no-log-error-stack", "--enable-auto-tool-choice"]
    switches += ["--enforce-eager"] if engine.enforce_eager is True else []
    switches += ["--enable-lora"] if adapters else []
    return [*words, *(w for pair in options.items() for w in pair), *switches, *engine.arguments]


def _simple_command(settings: ServerSettings, socket: Path, served_name: str) -> list[str]:
    """`python -m server.simple`; its options have vLLM's names."""
    engine, adapters = settings.engine, settings.adapters
    options = {
        "--model": str(settings.model.resolve()),
        "--served-model-name": served_name,
        "--uds": str(socket),
        "--dtype": engine.dtype,
        "--max-model-len": str(engine.max_model_len),
    }
    if adapters:
        options["--max-lora-rank"] = str(adapters.max_rank)
        options["--max-loras"] = str(2 * (adapters.max_loaded + 1))
    words = [sys.executable, "-P", "-m", "server.simple"]
    return [*words, *(w for pair in options.items() for w in pair), *engine.arguments]


def environment(settings: ServerSettings) -> dict[str, str]:
    """The engine's environment: this one without its secrets, plus what vLLM must be told."""
    wanted = {name: v for name, v in os.environ.items() if not _is_secret(name, v)}
    wanted |= {
        "VLLM_SERVER_DEV_MODE": "1",  # pause, resume and collective_rpc
        "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
        "VLLM_CPU_OMP_THREADS_BIND": "nobind",
        "HF_HUB_OFFLINE": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "VLLM_NO_USAGE_STATS": "1",
    }
    # What of us runs in the engine is of the same Galen as this gateway, wherever that was found.
    ours = str(Path(__file__).parents[2])
    wanted["PYTHONPATH"] = os.pathsep.join(filter(None, [ours, wanted.get("PYTHONPATH")]))
    if settings.engine.threads != "auto":
        wanted["OMP_NUM_THREADS"] = str(settings.engine.threads)
    if settings.adapters:
        wanted["VLLM_ALLOW_RUNTIME_LORA_UPDATING"] = "1"
    if is_cpu_build():
        wanted.setdefault("VLLM_TARGET_DEVICE", "cpu")
    return wanted


def _is_secret(name: str, value: str) -> bool:
    if _NO_SECRETS.match(name):
        return False
    return bool(_SECRET_NAME.search(name) or _SECRET_VALUE.search(value))


def last_error(log_file: Path) -> str:
    """The last error in the engine's log that is not a mere consequence of another."""
    if not log_file.exists():
        return "it left no log"
    lines = [line for line in tail_of(log_file).splitlines() if line.strip()]
    lines = [line for line in lines if not _HARMLESS.search(line)]
    below = ""
    for line in reversed(lines):
        found = _ERROR.search(line)
        if found and _CONSEQUENCE not in line:
            # pydantic says on the line below what is wrong.
            detail = f": {below.strip()}" if "validation error" in line else ""
            return (found.group(0) + detail)[:LONGEST_REASON]
        below = line
    return lines[-1].strip()[:LONGEST_REASON] if lines else "its log is empty"


def tail_of(log_file: Path) -> str:
    """The end of what the engine has written in this life, also where its log was just rotated."""
    tail = _end_of(log_file)
    if 0 < len(tail) < TAIL_BYTES and not tail.startswith(leash.FIRST_LINE):
        tail = (_end_of(log_file.with_suffix(".log.1")) + tail)[-TAIL_BYTES:]
    return tail.removeprefix(leash.FIRST_LINE).decode("utf-8", "replace")


def _end_of(file: Path) -> bytes:
    try:
        with file.open("rb") as source:
            source.seek(max(0, file.stat().st_size - TAIL_BYTES))
            return source.read()
    except FileNotFoundError:
        return b""
